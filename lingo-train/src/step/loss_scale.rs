//! Dynamic loss scaling (Micikevicius et al. 2018), with the numbers in common use: small gradients would be zero in f16,
//! so the loss is multiplied, by as much as overflows just not.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// At the start: 2^16.
const START: f64 = 65536.0;
/// The scale is never above 2^24 and, as less would not help, never below 1.
const RANGE: [f64; 2] = [1.0, 16_777_216.0];
/// Steps without overflow after which the scale is doubled.
const PERIOD: u64 = 2000;

/// What the loss is multiplied with, and the gradients divided by. It is halved when gradients overflow, and doubled
/// after many steps without; a frozen parameter, which checkpoints keep.
#[derive(Module, Debug)]
pub struct LossScale {
    /// The scale, and the steps since it changed: `[2]`.
    state: Param<Tensor<1>>,
    // The same on the host, so that no step waits for the device.
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    good_steps: u64,
}

impl LossScale {
    /// The scale of a run's first step.
    pub fn new(device: &Device) -> Self {
        let zeros = Tensor::zeros([2], &device.clone().inner());
        let mut new = Self {
            state: Param::initialized(ParamId::new(), zeros),
            scale: START,
            good_steps: 0,
        };
        new.keep();
        new
    }

    /// What the loss of this step is multiplied with.
    pub fn value(&self) -> f64 {
        self.scale
    }

    /// Learns whether the step's gradients were finite; returns whether a lower scale may help where they were not.
    pub fn update(&mut self, finite: bool) -> bool {
        let [low, high] = RANGE;
        let overflowed = !finite && self.scale > low;
        self.good_steps = if finite { self.good_steps + 1 } else { 0 };
        if overflowed {
            self.scale = (self.scale / 2.0).max(low);
        } else if self.good_steps == PERIOD {
            self.scale = (self.scale * 2.0).min(high);
            self.good_steps = 0;
        }
        self.keep();
        overflowed
    }

    /// To be called when a checkpoint has been loaded into it: the numbers on the host are read anew.
    pub fn recall(&mut self) {
        let values = self.state.val().into_data();
        let mut values = values.iter::<f64>();
        self.scale = values.next().unwrap_or(START);
        self.good_steps = values.next().unwrap_or(0.0) as u64;
    }

    fn keep(&mut self) {
        let device = self.state.val().device();
        // Powers of two and small counts: f32 holds them exactly.
        let values = [self.scale as f32, self.good_steps as f32];
        self.state = Param::initialized(self.state.id, Tensor::from_floats(values, &device));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_at_an_overflow_and_doubled_after_2000_steps_without() {
        let mut scale = LossScale::new(&Device::flex());
        assert_eq!(scale.value(), 65536.0);
        assert!(scale.update(false));
        assert!(scale.update(false));
        assert_eq!(scale.value(), 16384.0);
        for _ in 0..1999 {
            assert!(!scale.update(true));
        }
        assert_eq!(scale.value(), 16384.0);
        scale.update(true);
        assert_eq!(scale.value(), 32768.0);
        // An overflow starts the count anew.
        (0..1999).for_each(|_| _ = scale.update(true));
        scale.update(false);
        (0..1999).for_each(|_| _ = scale.update(true));
        assert_eq!(scale.value(), 16384.0);
    }

    #[test]
    fn below_one_it_is_no_matter_of_scale_any_more() {
        let mut scale = LossScale::new(&Device::flex());
        let overflows = (0..20).filter(|_| scale.update(false)).count();
        assert_eq!((overflows, scale.value()), (16, 1.0));
        (0..30 * 2000).for_each(|_| _ = scale.update(true));
        assert_eq!(scale.value(), 16_777_216.0);
    }

    #[test]
    fn a_record_brings_it_back() {
        let mut scale = LossScale::new(&Device::flex());
        scale.update(false);
        (0..7).for_each(|_| _ = scale.update(true));
        let record = scale.clone().into_record();
        let mut other = LossScale::new(&Device::flex()).load_record(record);
        other.recall();
        assert_eq!((other.scale, other.good_steps), (32768.0, 7));
    }
}
