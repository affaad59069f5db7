//! Data loaders for Burn's trainer, whose "epoch" is one evaluation round here.
//!
//! Burn evaluates once an epoch. To evaluate every N steps, training is one stream of batches that runs through the
//! real epochs, and each call of [`Rounds::iter`] hands out the next N of it. Items are host-side [`Batch`]es; the
//! step makes tensors on its model's device.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;

use super::batch::Batch;
use super::order::{self, EpochOrder};
use super::samples::Samples;
use super::store::StoreError;

/// What all views of a training stream share, immutable.
#[derive(Debug)]
struct Stream {
    samples: Samples,
    order: EpochOrder,
    /// Batches of an optimizer step.
    accumulation: usize,
    pad: u32,
    /// The positions at which rounds end, ascending.
    ends: Vec<usize>,
}

impl Stream {
    fn epoch_batches(&self) -> usize {
        self.order.batches()
    }

    /// The positions of the round that is next.
    fn round_at(&self, next: Next) -> Range<usize> {
        let end = self.ends.get(next.round).copied();
        next.position..end.unwrap_or(next.position).max(next.position)
    }
}

/// Where a stream goes on.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    /// Number of rounds handed out.
    round: usize,
    /// Number of batches handed out.
    position: usize,
}

/// The batches of training, a round at a time. Clones share their position.
#[derive(Debug, Clone)]
pub struct Rounds {
    stream: Arc<Stream>,
    next: Arc<Mutex<Next>>,
    /// The batches of each round that this loader hands out; others go to other devices.
    window: Range<usize>,
}

impl Rounds {
    /// A stream of batches through as many epochs as it takes, each shuffled by (`seed`, epoch); `accumulation` of them
    /// make a step. Rounds end after `ends` batches, ascending, counted from the start; the last one ends the stream.
    ///
    /// # Panics
    /// If there are no samples, or `batch_size` or `accumulation` is 0.
    pub fn new(
        samples: Samples,
        batch_size: usize,
        accumulation: usize,
        pad: u32,
        seed: u64,
        ends: Vec<usize>,
    ) -> Self {
        assert!(!samples.is_empty(), "there is something to train on");
        assert!(accumulation > 0, "steps have batches");
        let stream = Stream {
            order: EpochOrder::new(samples.clone(), batch_size, seed),
            samples,
            accumulation,
            pad,
            ends,
        };
        Self {
            stream: Arc::new(stream),
            next: Arc::default(),
            window: 0..usize::MAX,
        }
    }

    /// Batches in an epoch of the data.
    pub fn epoch_batches(&self) -> usize {
        self.stream.epoch_batches()
    }

    /// Number of batches handed out so far; a round counts as soon as its iterator exists.
    pub fn position(&self) -> usize {
        self.next().position
    }

    fn next(&self) -> Next {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what is left of the round behind `rounds` whole ones, after `position` batches in all. Where its
    /// batches have been handed out already, it is an empty one.
    pub fn seek(&self, rounds: usize, position: usize) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Next {
            round: rounds,
            position,
        };
    }

    /// The part of a round that falls into the window.
    fn within(&self, round: Range<usize>) -> Range<usize> {
        let start = round.end.min(round.start.saturating_add(self.window.start));
        let end = round.end.min(round.start.saturating_add(self.window.end));
        start..end.max(start)
    }
}

impl DataLoader<Batch> for Rounds {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let round = self.stream.round_at(*next);
        *next = Next {
            round: next.round + 1,
            position: round.end,
        };
        let positions = self.within(round);
        Box::new(Round {
            stream: &self.stream,
            total: positions.len(),
            positions,
            pool: None,
            step: None,
        })
    }

    /// Batches of the next round.
    fn num_items(&self) -> usize {
        self.within(self.stream.round_at(self.next())).len()
    }

    /// The same loader: its batches are on no device.
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(self.clone())
    }

    /// The batches `start..end` of each round, with a position of its own, for one of several devices.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            stream: self.stream.clone(),
            next: Arc::new(Mutex::new(self.next())),
            window: narrow(&self.window, start, end),
        })
    }
}

/// One round on its way.
struct Round<'a> {
    stream: &'a Stream,
    positions: Range<usize>,
    total: usize,
    /// The epoch and pool that the last batch came from, and its batches.
    pool: Option<([usize; 2], Vec<Vec<usize>>)>,
    /// The step that the last batch belongs to, and how much is known of its batches.
    step: Option<(usize, usize)>,
}

impl Round<'_> {
    /// The samples of the batch at a position of the stream.
    fn batch(&mut self, position: usize) -> Result<&[usize], StoreError> {
        let order = &self.stream.order;
        let (epoch, batch) = (position / order.batches(), position % order.batches());
        let (pool, place) = EpochOrder::pool_of(batch);
        let batches = match self.pool.take() {
            Some((of, batches)) if of == [epoch, pool] => batches,
            _ => order.pool(epoch, pool)?,
        };
        Ok(&self.pool.insert(([epoch, pool], batches)).1[place])
    }

    /// How much is known of all batches of the step that the batch at a position belongs to.
    fn known_in_step(&mut self, position: usize) -> Result<usize, StoreError> {
        let stream = self.stream;
        let step = position / stream.accumulation;
        if let Some((of, known)) = self.step
            && of == step
        {
            return Ok(known);
        }
        let batches = step * stream.accumulation..(step + 1) * stream.accumulation;
        let mut known = 0;
        for at in batches {
            for sample in self.batch(at)? {
                known += stream.samples.known(*sample)?;
            }
        }
        self.step = Some((step, known));
        Ok(known)
    }

    fn collated(&mut self, position: usize) -> Result<Batch, StoreError> {
        let stream = self.stream;
        let known_in_step = self.known_in_step(position)?;
        let indices = self.batch(position)?.to_vec();
        let batch = collate(position, &stream.samples, indices, stream.pad)?;
        Ok(Batch {
            known_in_step,
            ..batch
        })
    }
}

impl Iterator for Round<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;
        Some(self.collated(position).map_err(DatasetError::new))
    }
}

/// The batch of the samples at `indices`.
fn collate(
    number: usize,
    samples: &Samples,
    indices: Vec<usize>,
    pad: u32,
) -> Result<Batch, StoreError> {
    let of_batch = indices.iter().map(|index| samples.get(*index));
    let of_batch = of_batch.collect::<Result<_, _>>()?;
    Ok(Batch::collate(number as u64, of_batch, indices, pad))
}

impl DataLoaderIterator<Batch> for Round<'_> {
    fn progress(&self) -> Progress {
        progress(self.total - self.positions.len(), self.total)
    }
}

/// The batches of an evaluation, the same at each call of `iter`.
#[derive(Debug, Clone)]
pub struct EvalLoader {
    samples: Samples,
    plan: Arc<[Vec<usize>]>,
    pad: u32,
    window: Range<usize>,
}

impl EvalLoader {
    /// All samples once, in batches of similar length; [`Batch::indices`] says where each stands in the data.
    ///
    /// # Errors
    /// If the length of a sample cannot be read.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(samples: Samples, batch_size: usize, pad: u32) -> Result<Self, StoreError> {
        let plan = order::evaluation(&samples, batch_size)?;
        let window = 0..plan.len();
        Ok(Self {
            samples,
            plan: plan.into(),
            pad,
            window,
        })
    }

    /// Number of samples in the data.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }
}

impl DataLoader<Batch> for EvalLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        Box::new(Evaluation {
            loader: self,
            positions: self.window.clone(),
        })
    }

    /// Batches of the evaluation.
    fn num_items(&self) -> usize {
        self.window.len()
    }

    /// The same loader: its batches are on no device.
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(self.clone())
    }

    /// The batches `start..end`, for one of several devices.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            window: narrow(&self.window, start, end),
            ..self.clone()
        })
    }
}

/// One evaluation on its way.
struct Evaluation<'a> {
    loader: &'a EvalLoader,
    positions: Range<usize>,
}

impl Iterator for Evaluation<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;
        let loader = self.loader;
        let indices = loader.plan[position].clone();
        let batch = collate(position, &loader.samples, indices, loader.pad);
        Some(batch.map_err(DatasetError::new))
    }
}

impl DataLoaderIterator<Batch> for Evaluation<'_> {
    fn progress(&self) -> Progress {
        let total = self.loader.window.len();
        progress(total - self.positions.len(), total)
    }
}

fn narrow(window: &Range<usize>, start: usize, end: usize) -> Range<usize> {
    let at = |offset: usize| window.start.saturating_add(offset).min(window.end);
    at(start)..at(end.max(start))
}

fn progress(done: usize, total: usize) -> Progress {
    Progress::new(done, total, Some("batches".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::batch::tests::Draws;
    use super::super::label::Label;
    use super::super::tokenize::Sample;
    use super::*;

    fn samples(count: usize) -> Samples {
        let mut draws = Draws::new(2);
        let sample = |index: usize| Sample {
            ids: vec![index as u32; 1 + draws.below(30)],
            label: Some(Label::Class(index % 2)),
        };
        (0..count).map(sample).collect::<Vec<_>>().into()
    }

    fn rounds(total: usize, of: usize) -> Rounds {
        let ends = (1..total.div_ceil(of)).map(|round| round * of);
        Rounds::new(samples(21), 4, 1, 1, 42, ends.chain([total]).collect())
    }

    fn take(loader: &dyn DataLoader<Batch>) -> Vec<Vec<usize>> {
        loader.iter().map(|batch| batch.unwrap().indices).collect()
    }

    #[test]
    fn rounds_follow_each_other_through_the_epochs() {
        let rounds = rounds(15, 4);
        assert_eq!(rounds.epoch_batches(), 6);
        let found: Vec<Vec<Vec<usize>>> = (0..4).map(|_| take(&rounds)).collect();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 3]);
        let order = EpochOrder::new(samples(21), 4, 42);
        let planned: Vec<Vec<usize>> = (0..3)
            .flat_map(|epoch| order.pool(epoch, 0).unwrap())
            .take(15)
            .collect();
        assert_eq!(found.concat(), planned);
        assert_eq!(rounds.position(), 15);
        assert!(take(&rounds).is_empty());
        assert_eq!(rounds.num_items(), 0);
    }

    #[test]
    fn a_resumed_stream_continues_where_the_other_stood() {
        let whole = rounds(12, 3);
        let all: Vec<Vec<Vec<usize>>> = (0..4).map(|_| take(&whole)).collect();
        let resumed = rounds(12, 3);
        resumed.seek(2, 6);
        assert_eq!([take(&resumed), take(&resumed)], all[2..]);
        // In the middle of a round, and behind its last batch with its evaluation yet to come.
        resumed.seek(1, 4);
        assert_eq!(take(&resumed), all[1][1..]);
        assert_eq!(take(&resumed), all[2]);
        resumed.seek(1, 6);
        assert_eq!(resumed.num_items(), 0);
        assert!(take(&resumed).is_empty());
        assert_eq!([take(&resumed), take(&resumed)], all[2..]);
        assert!(take(&resumed).is_empty());
    }

    #[test]
    fn rounds_may_differ_in_length() {
        let rounds = Rounds::new(samples(21), 4, 1, 1, 42, vec![2, 3, 7]);
        let lengths: Vec<usize> = (0..4).map(|_| take(&rounds).len()).collect();
        assert_eq!(lengths, [2, 1, 4, 0]);
    }

    #[test]
    fn a_batch_knows_how_much_is_known_of_its_whole_step() {
        let mark = |known: bool| known.then_some(true);
        let sample = |index: usize| Sample {
            ids: vec![7; 1 + index],
            label: Some(Label::Marks(
                [mark(index.is_multiple_of(2)), mark(index.is_multiple_of(5))].into(),
            )),
        };
        let samples: Samples = (0..21).map(sample).collect::<Vec<_>>().into();
        // Steps of 4 batches run over the ends of epochs of 6, and rounds of 8 begin and end with a step.
        let rounds = Rounds::new(samples, 4, 4, 1, 42, vec![8, 16, 20]);
        let mut batches = Vec::new();
        for _ in 0..3 {
            batches.extend(rounds.iter().map(Result::unwrap));
        }
        assert_eq!(batches.len(), 20);
        for step in batches.chunks(4) {
            let known: usize = step.iter().map(Batch::known).sum();
            assert!(known > 0);
            for batch in step {
                assert_eq!(batch.known_in_step, known, "batch {}", batch.number);
            }
        }
    }

    #[test]
    fn progress_counts_batches_of_the_round() {
        let rounds = rounds(5, 3);
        assert_eq!(rounds.num_items(), 3);
        let mut round = rounds.iter();
        for done in 1..=3 {
            round.next().unwrap().unwrap();
            let progress = round.progress();
            assert_eq!((progress.items_processed, progress.items_total), (done, 3));
        }
        assert!(round.next().is_none());
        assert_eq!(rounds.num_items(), 2);
    }

    #[test]
    fn slices_for_several_devices_share_each_round_among_them() {
        let whole = rounds(10, 4);
        let (first, second) = (whole.slice(0, 2), whole.slice(2, 4));
        for _ in 0..3 {
            assert_eq!([take(&*first), take(&*second)].concat(), take(&whole));
        }
    }

    #[test]
    fn clones_for_a_device_share_the_position() {
        let rounds = rounds(6, 3);
        let device = rounds.to_device(&Device::flex());
        let (first, second) = (take(&*device), take(&rounds));
        assert_ne!(first, second);
        assert_eq!(rounds.position(), 6);
    }

    #[test]
    fn an_evaluation_holds_each_sample_once_and_can_be_repeated_and_sliced() {
        let loader = EvalLoader::new(samples(21), 4, 1).unwrap();
        let found = take(&loader);
        let mut all = found.concat();
        all.sort_unstable();
        assert_eq!(all, (0..21).collect::<Vec<_>>());
        assert_eq!(take(&loader), found);
        assert_eq!((loader.num_items(), loader.samples()), (6, 21));
        let parts = [take(&*loader.slice(0, 3)), take(&*loader.slice(3, 6))];
        assert_eq!(parts.concat(), found);
    }
}
