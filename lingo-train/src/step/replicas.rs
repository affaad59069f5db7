//! Copies of a model on further devices. What is frozen is copied once, what is trained again for each use.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use lingo_core::models::Classifier;

use super::module::trained_of;

/// The copies of one model, shared by all that hold a clone.
#[derive(Clone, Default)]
pub(super) struct Replicas(Arc<Mutex<Copies>>);

#[derive(Default)]
struct Copies {
    /// The parameters that change from one use to the next, all others not.
    trained: HashSet<ParamId>,
    /// By the number of the device, without autodiff.
    models: Vec<Option<Classifier>>,
}

impl Replicas {
    /// `classifier` as it stands, on `device`, which is number `index`; without autodiff.
    pub(super) fn on(&self, index: usize, device: &Device, classifier: &Classifier) -> Classifier {
        let device = device.clone().inner();
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if classifier.device().is_autodiff() {
            let trained = trained_of(classifier).into_iter().collect();
            // Parameters take other ids where a record is loaded.
            if trained != copies.trained {
                *copies = Copies {
                    trained,
                    models: Vec::new(),
                };
            }
        }
        if copies.models.len() <= index {
            copies.models.resize_with(index + 1, || None);
        }
        let mut values = Values {
            trained: &copies.trained,
            values: GradientsParams::new(),
        };
        classifier.visit(&mut values);
        let values = values.values;
        let known = !copies.trained.is_empty() && values.len() == copies.trained.len();
        let copy = match copies.models[index].take() {
            Some(copy) if known => copy.map(&mut Renew { values, device }),
            _ => classifier.valid().to_device(&device),
        };
        copies.models[index] = Some(copy.clone());
        copy
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replicas")
    }
}

/// Collects the values of what is trained, in a container by ids.
struct Values<'a> {
    trained: &'a HashSet<ParamId>,
    values: GradientsParams,
}

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.trained.contains(&param.id) {
            self.values.register(param.id, param.val().inner());
        }
    }
}

/// Replaces what is trained by other values.
struct Renew {
    values: GradientsParams,
    device: Device,
}

impl ModuleMapper for Renew {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.values.remove::<D>(param.id) {
            Some(value) => param.map(|_| value.to_device(&self.device)),
            None => param,
        }
    }
}
