//! Checkpoints that are whole or not there, and which of them are kept.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::train::checkpoint::{
    Checkpoint, Checkpointer, CheckpointerError, CheckpointingAction, CheckpointingStrategy,
};
use burn::train::metric::store::EventStoreClient;

use crate::record::{SharedLedger, lock, temporary};

/// Whether all checkpoints so far were saved, shared by the checkpointers of a run: after a failure none deletes
/// any more.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    fn failed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn fail(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Saves one kind of record, each under a temporary name until it is synced.
pub struct AtomicCheckpointer<R> {
    dir: PathBuf,
    name: &'static str,
    health: Health,
    record: PhantomData<fn(R)>,
}

impl<R> AtomicCheckpointer<R> {
    /// A checkpointer of files `{name}-{round}.bpk` in `dir`, which exists.
    pub fn new(dir: &Path, name: &'static str, health: &Health) -> Self {
        Self {
            dir: dir.to_owned(),
            name,
            health: health.clone(),
            record: PhantomData,
        }
    }

    /// Whether the checkpoint of this round was saved, and is there.
    pub fn holds(&self, round: usize) -> bool {
        self.path(round).is_file()
    }

    fn path(&self, round: usize) -> PathBuf {
        self.dir.join(format!("{}-{round}.bpk", self.name))
    }
}

impl<R: Checkpoint> AtomicCheckpointer<R> {
    fn write(&self, round: usize, record: R) -> Result<(), CheckpointerError> {
        // Records write to another file where a name has no extension.
        let file = temporary(".bpk", &self.dir).map_err(CheckpointerError::IOError)?;
        record.save(file.path().to_owned())?;
        let sync = || -> io::Result<()> {
            // Opened anew: the record may have replaced the file under its name.
            File::open(file.path())?.sync_all()?;
            file.persist(self.path(round))?;
            Ok(())
        };
        sync().map_err(CheckpointerError::IOError)
    }
}

impl<R: Checkpoint> Checkpointer<R> for AtomicCheckpointer<R> {
    fn save(&self, round: usize, record: R) -> Result<(), CheckpointerError> {
        self.write(round, record)
            .inspect_err(|_| self.health.fail())
    }

    /// Removes what was saved, unless a save has failed since: then the old one is the last that is whole.
    fn delete(&self, round: usize) -> Result<(), CheckpointerError> {
        if self.health.failed() {
            return Ok(());
        }
        match std::fs::remove_file(self.path(round)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointerError::IOError(error))
            }
            _ => Ok(()),
        }
    }

    fn restore(&self, round: usize) -> Result<R, CheckpointerError> {
        R::load(self.path(round))
    }
}

/// Keeps the checkpoint of the best eligible evaluation and the two newest. What a new one replaces, as the best or
/// as the newest, goes a round after it was saved: a save that fails takes nothing with it.
pub struct KeepBestAndLast {
    ledger: SharedLedger,
    kept: Vec<usize>,
}

impl KeepBestAndLast {
    /// A strategy that looks up evaluations in `ledger`.
    pub fn new(ledger: SharedLedger) -> Self {
        Self {
            ledger,
            kept: Vec::new(),
        }
    }
}

impl CheckpointingStrategy for KeepBestAndLast {
    fn checkpointing(
        &mut self,
        round: usize,
        _store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        self.after(round)
    }
}

impl KeepBestAndLast {
    fn after(&mut self, round: usize) -> Vec<CheckpointingAction> {
        let best = lock(&self.ledger)
            .best(|evaluation| evaluation.round < round)
            .map(|evaluation| evaluation.round);
        let newest = self.kept.last().copied();
        let stays = |kept: &usize| Some(*kept) == best || Some(*kept) == newest;
        let (stay, go): (Vec<usize>, Vec<usize>) = self.kept.iter().partition(|kept| stays(kept));
        self.kept = stay;
        self.kept.push(round);
        let go = go.into_iter().map(CheckpointingAction::Delete);
        go.chain([CheckpointingAction::Save]).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::module::Module;
    use burn::train::Interrupter;
    use burn::train::checkpoint::Checkpointer;
    use lingo_core::adapter::LowRank;
    use tempfile::tempdir;

    use super::*;
    use crate::metric::{MetricName, Scores};
    use crate::record::{Evaluation, Ledger, RecordFiles};

    /// What is on disk after each of the evaluations, of which the ranks are fixed from `fixed_from` on.
    fn kept(mcc: &[f64], fixed_from: usize) -> Vec<Vec<usize>> {
        let dir = tempdir().unwrap();
        let files = RecordFiles::create(dir.path(), &[]).unwrap();
        let ledger = Ledger::new(files, Interrupter::new(), MetricName::Mcc, 0, None);
        let mut strategy = KeepBestAndLast::new(ledger.clone());
        let mut on_disk: Vec<usize> = Vec::new();
        let after = mcc.iter().enumerate().map(|(i, mcc)| {
            lock(&ledger).state.evaluations.push(Evaluation {
                round: i + 1,
                step: 0,
                elapsed_secs: 0.0,
                flops: 0.0,
                flops_adjusted_step: 0.0,
                eligible: i + 1 >= fixed_from,
                scores: Scores {
                    mcc: *mcc,
                    ..Scores::from_logits(&[0.0, 0.0], 2, &[0]).unwrap()
                },
            });
            for action in strategy.after(i + 1) {
                match action {
                    CheckpointingAction::Save => on_disk.push(i + 1),
                    CheckpointingAction::Delete(round) => on_disk.retain(|kept| *kept != round),
                }
            }
            on_disk.clone()
        });
        after.collect()
    }

    #[test]
    fn the_best_so_far_stays_until_a_better_one_is_saved_and_so_do_the_two_newest() {
        let after = kept(&[0.1, 0.5, 0.3, 0.5, 0.2, 0.6, 0.1], 1);
        let expected: [&[usize]; 7] = [
            &[1],
            &[1, 2],
            &[2, 3],
            &[2, 3, 4],
            &[2, 4, 5],
            &[2, 5, 6],
            &[6, 7],
        ];
        assert_eq!(after, expected);
    }

    #[test]
    fn an_evaluation_before_the_ranks_are_fixed_is_not_the_best() {
        let after = kept(&[0.9, 0.8, 0.1, 0.2, 0.1], 3);
        let expected: [&[usize]; 5] = [&[1], &[1, 2], &[2, 3], &[3, 4], &[4, 5]];
        assert_eq!(after, expected);
    }

    #[test]
    fn nothing_is_deleted_once_a_save_has_failed() {
        let dir = tempdir().unwrap();
        let device = burn::tensor::Device::flex();
        let ones = |shape| burn::tensor::Tensor::<2>::ones(shape, &device);
        let record = || LowRank::new(ones([2, 1]), ones([1, 3]), None, 1.0, 0.0).into_record();
        let health = Health::default();
        let checkpointer = AtomicCheckpointer::new(dir.path(), "model", &health);
        let gone = dir.path().join("gone");
        let failing = AtomicCheckpointer::new(&gone, "optimizer", &health);
        let files = || dir.path().read_dir().unwrap().count();

        checkpointer.save(1, record()).unwrap();
        checkpointer.save(2, record()).unwrap();
        checkpointer.delete(1).unwrap();
        assert_eq!(files(), 1);
        assert!(checkpointer.holds(2) && !checkpointer.holds(1));
        assert!(failing.save(2, record()).is_err());
        checkpointer.delete(2).unwrap();
        assert_eq!(files(), 1);
        checkpointer.restore(2).unwrap();
    }
}
