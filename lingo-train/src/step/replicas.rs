//! Copies of a model on further devices. What is frozen is copied once, what is trained again for each use.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use lingo_core::models::Classifier;

/// The copies of one model, shared by all that hold a clone.
#[derive(Clone)]
pub(super) struct Replicas {
    /// The parameters that change.
    trained: Arc<HashSet<ParamId>>,
    /// By the number of the device, without autodiff.
    copies: Arc<Mutex<Vec<Option<Classifier>>>>,
}

impl Replicas {
    /// Copies of a model of which `trained` changes, and nothing else.
    pub(super) fn new(trained: Vec<ParamId>) -> Self {
        Self {
            trained: Arc::new(trained.into_iter().collect()),
            copies: Arc::default(),
        }
    }

    /// `classifier` as it stands, on `device`, which is number `index`; without autodiff.
    pub(super) fn on(&self, index: usize, device: &Device, classifier: &Classifier) -> Classifier {
        let device = device.clone().inner();
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.len() <= index {
            copies.resize_with(index + 1, || None);
        }
        let mut values = Values {
            trained: &self.trained,
            values: GradientsParams::new(),
        };
        classifier.visit(&mut values);
        let values = values.values;
        let copy = match copies[index].take() {
            Some(copy) if values.len() == self.trained.len() => {
                copy.map(&mut Renew { values, device })
            }
            // The first use, or parameters of another origin.
            _ => classifier.valid().to_device(&device),
        };
        copies[index] = Some(copy.clone());
        copy
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replicas of {} parameters", self.trained.len())
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
