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

/// Keeps the checkpoint of the best eligible evaluation and the two newest: an old one goes a round after the newer
/// one was saved, so that a save that fails takes nothing with it.
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
        let best = lock(&self.ledger).best().map(|evaluation| evaluation.round);
        let newest = self.kept.last().copied();
        let stays = |kept: &usize| Some(*kept) == best || Some(*kept) == newest;
        let (stay, go): (Vec<usize>, Vec<usize>) = self.kept.iter().partition(|kept| stays(kept));
        self.kept = stay;
        self.kept.push(round);
        let go = go.into_iter().map(CheckpointingAction::Delete);
        go.chain([CheckpointingAction::Save]).collect()
    }
}
