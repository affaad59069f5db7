//! Devices by name, chosen at run time among the backends that were compiled in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context as _, Result, bail};
use burn::tensor::{Device, FloatDType, Tensor};
use lingo_core::nn::Precision;
use lingo_train::workers::Compute;

/// Largest buffer that every WebGPU device binds, in bytes; many laptops bind no more.
const WGPU_BINDING_BYTES: usize = 128 << 20;

/// Makes the CPU the device of whatever Burn computes where nobody has named one, so that the machine needs no other for
/// it: a record of an optimizer is read back there, before each tensor moves to where its parameter is. To be called
/// before the first thread is started.
// The environment is the only way to tell Burn.
#[allow(unsafe_code)]
pub fn configure() {
    const VARIABLE: &str = "BURN_DEVICE";
    if Kind::Cpu.compiled() && std::env::var_os(VARIABLE).is_none() {
        // SAFETY: there is no other thread that could read the environment.
        unsafe { std::env::set_var(VARIABLE, "flex") };
    }
}

/// A kind of device, by the name of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Burn's CPU backend, flex.
    Cpu,
    /// Any GPU through WebGPU's native implementation.
    Wgpu,
    /// NVIDIA.
    Cuda,
    /// LibTorch on the CPU.
    Tch,
    /// The older CPU backend.
    Ndarray,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Wgpu, Self::Cuda, Self::Tch, Self::Ndarray];

    /// Its name on the command line, which is the cargo feature's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
            Self::Tch => "tch",
            Self::Ndarray => "ndarray",
        }
    }

    /// Whether this build has the backend.
    pub fn compiled(self) -> bool {
        match self {
            Self::Cpu => cfg!(feature = "cpu"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Tch => cfg!(feature = "tch"),
            Self::Ndarray => cfg!(feature = "ndarray"),
        }
    }

    /// The devices of this kind that the machine has; empty where the backend was not compiled in.
    pub fn found(self) -> Vec<Device> {
        let list: fn() -> Vec<Device> = match self {
            #[cfg(feature = "cpu")]
            Self::Cpu => || vec![Device::flex()],
            #[cfg(feature = "wgpu")]
            Self::Wgpu => || Device::enumerate(burn::tensor::DeviceType::Wgpu).to_vec(),
            #[cfg(feature = "cuda")]
            Self::Cuda => || Device::enumerate(burn::tensor::DeviceType::Cuda).to_vec(),
            #[cfg(feature = "tch")]
            #[allow(deprecated)]
            // LibTorch is offered for as long as the framework has it
            Self::Tch => || vec![Device::libtorch()],
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // likewise
            Self::Ndarray => || vec![Device::ndarray()],
            #[allow(unreachable_patterns)]
            _ => Vec::new,
        };
        // A missing driver makes some backends panic.
        quietly(list).unwrap_or_default()
    }

    /// What one of its devices is, for people: a GPU by its own name.
    pub fn describe(self, device: &Device) -> String {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(identity) = quietly(|| device.identity()).flatten()
            && !identity.name.is_empty()
        {
            return identity.name;
        }
        let _ = device;
        let name = match self {
            Self::Cpu => "this machine's processor",
            Self::Tch => "this machine's processor, by LibTorch",
            Self::Ndarray => "this machine's processor, by ndarray",
            Self::Wgpu | Self::Cuda => "a GPU without a name",
        };
        name.to_owned()
    }
}

/// One or several devices that have been tried.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The device where the model is, the first, without autodiff.
    pub device: Device,
    /// As asked for.
    pub name: String,
    /// How they are made use of.
    pub compute: Compute,
    tried: Vec<Tried>,
}

/// A device that computes.
#[derive(Clone, Debug)]
struct Tried {
    name: String,
    kind: Kind,
    device: Device,
}

impl Selected {
    /// Checks that the devices compute in `precision`.
    ///
    /// # Errors
    /// If one does not; what it can do is named.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        let mut tried = self.tried.iter();
        let Some(unable) = tried.find(|tried| !computes_in(&tried.device, precision)) else {
            return Ok(());
        };
        let others = precisions(&unable.device).into_iter();
        let others: Vec<&str> = others.map(Precision::name).collect();
        bail!(
            "device `{}` does not compute in {}; choose {} as train.precision or --precision, or another device of \
             those that `lingo devices` lists",
            unable.name,
            precision.name(),
            others.join(" or ")
        );
    }

    /// Whether the devices take a tensor of so many bytes in one piece. A larger one than any device must bind is tried.
    pub fn takes(&self, bytes: usize) -> bool {
        self.tried.iter().all(|tried| tried.takes(bytes))
    }
}

impl Tried {
    fn takes(&self, bytes: usize) -> bool {
        if self.kind != Kind::Wgpu || bytes <= WGPU_BINDING_BYTES {
            return true;
        }
        let floats = bytes.div_ceil(size_of::<f32>());
        let device = self.device.clone();
        let sum = quietly(move || {
            Tensor::<1>::zeros([floats], &device)
                .sum()
                .into_scalar::<f32>()
        });
        sum == Some(0.0)
    }
}

/// What a device computes in.
pub fn precisions(device: &Device) -> Vec<Precision> {
    let all = Precision::ALL.into_iter();
    all.filter(|precision| computes_in(device, *precision))
        .collect()
}

/// Whether a device computes in `precision`: it says so, and a small product comes out right, and back in f32.
fn computes_in(device: &Device, precision: Precision) -> bool {
    let (device, dtype) = (device.clone(), precision.dtype());
    let sum = quietly(move || {
        if !device.supports_dtype(dtype) {
            return f32::NAN;
        }
        let x = Tensor::<2>::ones([4, 4], &device).cast(dtype);
        let y = (x.clone() * 0.5).matmul(x).cast(FloatDType::F32);
        y.sum().into_scalar::<f32>()
    });
    sum == Some(32.0)
}

/// Finds devices by name, `kind` or `kind:index`, several with commas between them, and tries them.
///
/// # Errors
/// If a name is unknown or there twice, the backend was not compiled in, or the device is absent or does not compute.
pub fn select(names: &str) -> Result<Selected> {
    let mut tried: Vec<Tried> = Vec::new();
    for name in names.split(',') {
        let next = try_one(name.trim())?;
        if let Some(first) = tried.iter().find(|first| first.device == next.device) {
            bail!(
                "device `{}` is `{}` once more; name each of several devices once",
                next.name,
                first.name
            );
        }
        tried.push(next);
    }
    let device = tried[0].device.clone();
    let compute = match (tried.len(), tried[0].kind) {
        (1, Kind::Cpu) => Compute::Host {
            threads: rayon::current_num_threads(),
        },
        (1, Kind::Tch | Kind::Ndarray) => Compute::HostAlone,
        (1, Kind::Wgpu | Kind::Cuda) => Compute::Device,
        _ => Compute::Devices(tried.iter().map(|tried| tried.device.clone()).collect()),
    };
    Ok(Selected {
        device,
        name: names.to_owned(),
        compute,
        tried,
    })
}

fn try_one(name: &str) -> Result<Tried> {
    let (kind, index) = parse(name)?;
    if !kind.compiled() {
        bail!(
            "device `{name}`: this lingo was built without {kind}; build it with `cargo build --release -p lingo-cli \
             --features {kind}`, or choose one that `lingo devices` lists",
            kind = kind.name()
        );
    }
    let mut found = kind.found();
    let index = index.unwrap_or(0);
    if index >= found.len() {
        let count = match found.len() {
            0 => "none".to_owned(),
            n => format!("{n}, counted from 0"),
        };
        bail!(
            "device `{name}`: the machine has {count} of this kind; see `lingo devices`, and check the driver{}",
            match kind {
                Kind::Wgpu => " (Vulkan, Metal or DirectX 12)",
                Kind::Cuda => " (CUDA)",
                _ => "",
            }
        );
    }
    let device = found.swap_remove(index);
    let probe = device.clone();
    let sum = quietly(move || Tensor::<1>::ones([4], &probe).sum().into_scalar::<f32>());
    if sum != Some(4.0) {
        bail!(
            "device `{name}` was found but does not compute; check its driver, or choose another with --device"
        );
    }
    Ok(Tried {
        name: name.to_owned(),
        kind,
        device,
    })
}

fn parse(name: &str) -> Result<(Kind, Option<usize>)> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (name, None),
    };
    let Some(kind) = Kind::ALL.into_iter().find(|k| k.name() == kind) else {
        bail!(
            "device `{name}` is none that lingo knows; choose cpu, wgpu[:N], cuda[:N], tch or ndarray, or several such as cuda:0,cuda:1"
        );
    };
    let index = index
        .map(|index| {
            index
                .parse()
                .with_context(|| format!("device `{name}`: `{index}` is no number of a device"))
        })
        .transpose()?;
    Ok((kind, index))
}

/// Runs what may panic, and says nothing of it.
fn quietly<T>(action: impl FnOnce() -> T) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(action));
    std::panic::set_hook(hook);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_a_kind_and_an_index() {
        assert_eq!(parse("cpu").unwrap(), (Kind::Cpu, None));
        assert_eq!(parse("cuda:3").unwrap(), (Kind::Cuda, Some(3)));
        for name in ["gpu", "", "cuda:", "wgpu:x", "cuda:-1"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_device_that_is_absent_is_one_error_that_says_what_to_do() {
        let message = |name: &str| select(name).unwrap_err().to_string();
        assert!(message("cpu:7").contains("has 1, counted from 0"));
        assert!(message("cpu,cpu:0").contains("name each of several devices once"));
        assert!(message("cpu,").contains("device `` is none"));
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.compiled()) {
            let message = message(kind.name());
            assert!(
                message.contains(&format!("--features {}", kind.name())),
                "{message}"
            );
        }
    }

    #[test]
    fn the_cpu_computes_in_every_precision() {
        let selected = select("cpu").unwrap();
        assert_eq!(precisions(&selected.device), Precision::ALL);
        for precision in Precision::ALL {
            selected.check_precision(precision).unwrap();
        }
    }

    #[test]
    fn the_cpu_computes() {
        assert!(matches!(select("cpu").unwrap().compute, Compute::Host { threads } if threads > 0));
    }
}
