//! Who shares the work of a batch: threads where the device is the host itself, or several devices.
//!
//! On the host most of a step is small element-wise work that runs on one thread, between products that run on all.
//! Giving each thread a part of the batch, with products of its own, keeps all cores at work throughout.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Device;
use lingo_core::nn::noise::MaskSource;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How a device is made use of.
#[derive(Clone, Debug, PartialEq)]
pub enum Compute {
    /// The device is the host: so many threads share each batch.
    Host {
        /// Threads to use.
        threads: usize,
    },
    /// The device is the host, but its backend brings parallelism of its own.
    HostAlone,
    /// The device is another one, which takes a batch at a time.
    Device,
    /// These devices, without autodiff, share each batch; the model is on the first.
    Devices(Vec<Device>),
}

impl Compute {
    /// Where dropout masks are drawn.
    pub fn masks(&self) -> MaskSource {
        match self {
            // On the host a sequence has the same draws on whichever device it is; and several devices of a backend may
            // have one generator together.
            Self::Host { .. } | Self::HostAlone | Self::Devices(_) => MaskSource::Host,
            Self::Device => MaskSource::Device,
        }
    }
}

/// What works on each part of a batch.
#[derive(Clone)]
pub struct Workers(Arc<[Worker]>);

enum Worker {
    /// Threads of the host.
    Pool(ThreadPool),
    /// A device, which a thread of its own gives orders to.
    Device(Device),
}

impl Workers {
    /// Workers for at most `parts` parts, or one for each of several devices. A single one runs on the caller's thread,
    /// with the backend's own parallelism.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn new(compute: &Compute, parts: usize) -> Result<Self, ThreadPoolBuildError> {
        match compute {
            Compute::Host { threads } => Self::exactly((*threads).min(parts), *threads),
            Compute::HostAlone | Compute::Device => Self::exactly(1, 1),
            Compute::Devices(devices) => {
                Ok(Self(devices.iter().cloned().map(Worker::Device).collect()))
            }
        }
    }

    /// So many pools of threads, however many `threads` they share: for a run that goes on, whose batches are to fall
    /// into the same parts.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn exactly(count: usize, threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let pool = |_| {
            let pool = ThreadPoolBuilder::new().num_threads((threads / count.max(1)).max(1));
            pool.build().map(Worker::Pool)
        };
        let pools = if count > 1 { count } else { 0 };
        Ok(Self((0..pools).map(pool).collect::<Result<_, _>>()?))
    }

    /// Where part number `index` is worked on, where that is another device than the model's.
    pub fn device(&self, index: usize) -> Option<&Device> {
        match self.0.get(index) {
            Some(Worker::Device(device)) if index > 0 => Some(device),
            _ => None,
        }
    }

    /// How many parts can be worked on at a time.
    pub fn count(&self) -> usize {
        self.0.len().max(1)
    }

    /// Does `work` on each part, at most [`count`](Self::count) of them, at the same time; results in the parts'
    /// order.
    ///
    /// # Panics
    /// If `work` does, or there are more parts than workers.
    pub fn run<P: Send, T: Send>(&self, parts: Vec<P>, work: impl Fn(P) -> T + Sync) -> Vec<T> {
        assert!(parts.len() <= self.count(), "a worker a part");
        if self.0.is_empty() || parts.len() < 2 {
            return parts.into_iter().map(work).collect();
        }
        let work = &work;
        std::thread::scope(|scope| {
            let started: Vec<_> = parts
                .into_iter()
                .zip(self.0.iter())
                .map(|(part, worker)| {
                    scope.spawn(move || match worker {
                        Worker::Pool(pool) => pool.install(|| work(part)),
                        Worker::Device(_) => work(part),
                    })
                })
                .collect();
            started
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_are_done_in_order_whatever_the_number_of_workers() {
        for (threads, parts, count) in [(1, 8, 1), (2, 8, 2), (3, 8, 3), (8, 3, 3), (8, 1, 1)] {
            let workers = Workers::new(&Compute::Host { threads }, parts).unwrap();
            assert_eq!(workers.count(), count);
            let parts: Vec<usize> = (0..workers.count()).collect();
            let expected: Vec<usize> = parts.iter().map(|i| i * i).collect();
            assert_eq!(workers.run(parts, |i| i * i), expected);
        }
    }

    #[test]
    #[should_panic(expected = "of a part")]
    fn a_panic_in_a_part_is_a_panic_of_the_whole() {
        let workers = Workers::new(&Compute::Host { threads: 2 }, 2).unwrap();
        workers.run(vec![0, 1], |i| assert!(i == 0, "of a part"));
    }
}
