//! A [`Trainee`] as Burn's learner sees it: a module whose records hold what is trained and what rank control
//! remembers, never the frozen weights.

use std::collections::HashMap;

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamGroup, ParamId,
};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Device, Int, Tensor};
use lingo_core::models::Classifier;
use lingo_core::rank::RankController;

use super::{LossScale, Trained, Trainee};

/// The parameters that a record holds: those that ask for gradients, and all of rank control
/// and loss scaling.
pub(super) fn recorded(trained: &Trained) -> Vec<ParamId> {
    let mut ids = Ids {
        trained_only: false,
        ids: trained_of(&trained.classifier),
    };
    trained.ranks.visit(&mut ids);
    trained.loss_scale.visit(&mut ids);
    ids.ids
}

/// The parameters that ask for gradients.
pub(super) fn trained_of(classifier: &Classifier) -> Vec<ParamId> {
    let mut ids = Ids {
        trained_only: true,
        ids: Vec::new(),
    };
    classifier.visit(&mut ids);
    ids.ids
}

/// All parameters, in the module's order.
fn all(trained: &Trained) -> Vec<ParamId> {
    let mut ids = Ids {
        trained_only: false,
        ids: Vec::new(),
    };
    trained.visit(&mut ids);
    ids.ids
}

impl Trainee {
    fn with(self, change: impl FnOnce(Trained) -> Trained) -> Self {
        Self {
            trained: change(self.trained),
            ..self
        }
    }
}

/// Collects the ids of parameters: of those that are trained, or of all.
struct Ids {
    trained_only: bool,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.trained_only || param.is_require_grad() {
            self.ids.push(param.id);
        }
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        if !self.trained_only {
            self.ids.push(param.id);
        }
    }
}

/// As derived for [`Trained`], but for records.
impl Module for Trainee {
    fn into_record(self) -> ModuleRecord {
        let recorded = ParamGroup::from_ids(self.recorded.to_vec());
        self.trained.into_record_group(recorded)
    }

    fn try_load_record(self, record: ModuleRecord) -> Result<Self, RecordError> {
        // What a record lacks would keep the value that it has.
        if record.len() != self.recorded.len() {
            return Err(RecordError::Validation(format!(
                "it holds {} tensors, this run has {}",
                record.len(),
                self.recorded.len()
            )));
        }
        let before = all(&self.trained);
        let mut trained = self.trained.try_load_record(record.allow_partial(true))?;
        trained.ranks.iter_mut().for_each(RankController::recount);
        trained.loss_scale.iter_mut().for_each(LossScale::recall);
        // Parameters take the ids of the record, which the optimizer's record knows them by.
        let renamed: HashMap<ParamId, ParamId> = before.into_iter().zip(all(&trained)).collect();
        let now = |id: &ParamId| renamed.get(id).copied().unwrap_or(*id);
        Ok(Self {
            recorded: self.recorded.iter().map(now).collect(),
            trained,
            ..self
        })
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        self.trained.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.with(|trained| trained.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(|trained| trained.to_device(device))
    }

    fn train(self) -> Self {
        self.with(Module::train)
    }

    fn valid(&self) -> Self {
        self.clone().with(|trained| trained.valid())
    }

    fn materialize(self) -> Self {
        self.with(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.trained.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.with(|trained| trained.map(mapper))
    }
}

impl ModuleDisplayDefault for Trainee {
    fn content(&self, content: Content) -> Option<Content> {
        self.trained.content(content)
    }
}

impl ModuleDisplay for Trainee {}

impl std::fmt::Display for Trainee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.trained, f)
    }
}
