//! Runs in one picture: how their ranks fell, and what their parameters bought. As SVG or PNG.

mod axis;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use lingo_train::comparison::{ComparisonError, FinishedRun, RankCurve, Row, Spread};
use lingo_train::metric::MetricName;
use lingo_train::record::write_atomically;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use self::axis::{Range, parameters, round_counts};

const SIZE: (u32, u32) = (1280, 560);
const FONT: &str = "sans-serif";
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// What is drawn.
pub struct Picture {
    metric: MetricName,
    marks: Vec<Mark>,
    without_steps: Vec<PathBuf>,
}

/// A row of a comparison.
struct Mark {
    name: String,
    colour: RGBColor,
    parameters: f64,
    score: Option<Spread>,
    /// Of the first of its runs; none where ranks are fixed, or nothing tells how they fell.
    ranks: Option<RankCurve>,
}

impl Picture {
    /// Of the rows that `runs` were gathered into.
    ///
    /// # Errors
    /// If the ranks of a run cannot be read.
    pub fn new(runs: &[FinishedRun], rows: &[Row], metric: MetricName) -> Result<Self> {
        let several = |of: fn(&Row) -> &str| rows.iter().any(|row| of(row) != of(&rows[0]));
        let (tasks, models) = (
            several(|row| &row.name.task),
            several(|row| &row.name.model),
        );
        let mut without_steps = Vec::new();
        let marks = rows.iter().enumerate().map(|(index, row)| {
            let parts = [
                Some(row.name.method.as_str()),
                models.then_some(row.name.model.as_str()),
                tasks.then_some(row.name.task.as_str()),
            ];
            let parts = parts.into_iter().flatten().map(str::to_owned);
            let settings = row
                .settings
                .iter()
                .map(|(key, value)| format!("{key} {value}"));
            let run = runs.iter().find(|run| row.dirs.contains(&run.dir));
            let ranks = match run.map(RankCurve::read) {
                Some(Err(ComparisonError::NoSteps { dir })) => {
                    without_steps.push(dir);
                    None
                }
                read => read.transpose()?.flatten(),
            };
            Ok(Mark {
                name: parts.chain(settings).collect::<Vec<_>>().join(", "),
                colour: COLOURS[index % COLOURS.len()],
                parameters: row.trainable_parameters as f64,
                score: row.test.get(metric.name()).copied().flatten(),
                ranks,
            })
        });
        Ok(Self {
            metric,
            marks: marks.collect::<Result<_>>()?,
            without_steps,
        })
    }

    /// Run folders whose ranks are not in it, for want of their table of steps.
    pub fn without_steps(&self) -> &[PathBuf] {
        &self.without_steps
    }

    /// Writes it to a file, whose name tells the format.
    ///
    /// # Errors
    /// If the name ends otherwise, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!(
                "cannot write {}: there is no folder {}",
                path.display(),
                folder.display()
            );
        }
        // The same letters on every machine, whatever fonts it has.
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| anyhow!("the font cannot be read"))?;
        let content = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => self.svg()?.into_bytes(),
            Some("png") => self.png()?,
            _ => bail!(
                "{} is to be a picture: give a name that ends in .svg or .png",
                path.display()
            ),
        };
        Ok(write_atomically(path, &content)?)
    }

    fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw(SVGBackend::with_string(&mut text, SIZE).into_drawing_area())?;
        Ok(text)
    }

    fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = SIZE;
        let mut pixels = vec![0; (width * height * 3) as usize];
        self.draw(BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
        let mut content = Cursor::new(Vec::new());
        let mut encoder = png::Encoder::new(&mut content, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(content.into_inner())
    }

    fn draw<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let failed = |error: DrawingAreaErrorKind<B::ErrorType>| anyhow!("cannot draw: {error}");
        area.fill(&WHITE).map_err(failed)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        self.draw_ranks(&left).map_err(failed)?;
        self.draw_scores(&right).map_err(failed)?;
        area.present().map_err(failed).context("picture")
    }

    /// Ranks over the optimizer steps: the budget thin, what is alive thick.
    fn draw_ranks<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let curves: Vec<(&Mark, &RankCurve)> = self
            .marks
            .iter()
            .filter_map(|mark| Some((mark, mark.ranks.as_ref()?)))
            .collect();
        let points = || curves.iter().flat_map(|(_, curve)| curve.points.iter());
        let last = points().map(|point| point.step).max().unwrap_or(1);
        let most = points().map(|point| point.active.max(point.budget)).max();
        let mut chart = ChartBuilder::on(area)
            .caption("Ranks (thin: the budget)", (FONT, 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0..last, 0..most.unwrap_or(1) + most.unwrap_or(1) / 8 + 1)?;
        chart
            .configure_mesh()
            .x_desc("optimizer step")
            .y_desc("ranks, over all matrices")
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 16))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08))
            .draw()?;
        for (mark, curve) in &curves {
            let budget = curve.points.iter().map(|point| (point.step, point.budget));
            chart.draw_series(LineSeries::new(budget, mark.colour.mix(0.45)))?;
            let active = curve.points.iter().map(|point| (point.step, point.active));
            let colour = mark.colour;
            chart
                .draw_series(LineSeries::new(active, colour.stroke_width(2)))?
                .label(mark.name.as_str())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
        }
        if curves.is_empty() {
            let (width, height) = area.dim_in_pixel();
            let style = (FONT, 16).into_font().color(&BLACK.mix(0.6));
            let style = style.pos(Pos::new(HPos::Center, VPos::Center));
            let middle = (width as i32 / 2, height as i32 / 2);
            let why = match self.without_steps.as_slice() {
                [] => "no run has ranks that change",
                _ => "no train.csv is there, which tells how ranks fell",
            };
            return area.draw(&Text::new(why, middle, style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 14))
            .draw()
    }

    /// The metric over trained parameters, with the front that nothing smaller is better than.
    fn draw_scores<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let scored: Vec<(&Mark, Spread)> = self
            .marks
            .iter()
            .filter_map(|mark| Some((mark, mark.score?)))
            .collect();
        let around = |(_, score): &(&Mark, Spread)| {
            let sd = score.sd.unwrap_or(0.0);
            [score.mean - sd, score.mean + sd]
        };
        let scores = Range::of(scored.iter().flat_map(around)).widened(0.18);
        let sizes = Range::of(scored.iter().map(|(mark, _)| mark.parameters.log10()))
            .widened(0.3)
            .at_least(1.0);
        let counts = 10_f64.powf(sizes.low)..10_f64.powf(sizes.high);
        let counts = counts.log_scale().with_key_points(round_counts(sizes));
        let mut chart = ChartBuilder::on(area)
            .caption("What the parameters bought", (FONT, 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(counts, scores.bounds())?;
        chart
            .configure_mesh()
            .x_desc("trained parameters")
            .y_desc(format!("test {}", self.metric))
            .x_label_formatter(&|count| parameters(*count))
            .y_label_formatter(&|score| format!("{score:.2}"))
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 16))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08))
            .draw()?;
        let width = f64::from(chart.plotting_area().dim_in_pixel().0);
        let pixel = (sizes.high - sizes.low) / width;
        let wished: Vec<f64> = scored
            .iter()
            .map(|(mark, _)| (mark.parameters.log10() - sizes.low) / pixel)
            .collect();
        let spots = spots(&wished, width);
        let count_at = |spot: f64| 10_f64.powf(sizes.low + spot * pixel);
        let bought: Vec<(f64, f64)> = scored
            .iter()
            .map(|(mark, score)| (mark.parameters, score.mean))
            .collect();
        let front = front(&bought, self.metric.higher_is_better());
        let front = front
            .into_iter()
            .map(|index| (count_at(spots[index].own), bought[index].1));
        chart.draw_series(DashedLineSeries::new(
            front,
            6,
            4,
            BLACK.mix(0.5).stroke_width(1),
        ))?;
        let mut labels = Labels::default();
        for ((mark, score), spot) in scored.iter().zip(&spots) {
            let (x, y) = (count_at(spot.own), score.mean);
            if let Some(sd) = score.sd {
                let style = mark.colour.stroke_width(2);
                chart.draw_series([ErrorBar::new_vertical(x, y - sd, y, y + sd, style, 10)])?;
            }
            chart.draw_series([Circle::new((x, y), 6, mark.colour.filled())])?;
            let (side, beside) = match spot.own > 0.6 * width {
                true => (HPos::Right, spot.first - 10.0),
                false => (HPos::Left, spot.last + 10.0),
            };
            let style = (FONT, 14).into_font().color(&mark.colour);
            let style = style.pos(Pos::new(side, VPos::Bottom));
            let at = chart.backend_coord(&(x, y));
            let shift = ((beside - spot.own) as i32, labels.place(at.1 - 4) - at.1);
            let label = EmptyElement::at((x, y)) + Text::new(mark.name.clone(), shift, style);
            chart.draw_series([label])?;
        }
        Ok(())
    }
}

/// Where a mark stands along an axis, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot {
    own: f64,
    /// The first of those that stand side by side with it.
    first: f64,
    last: f64,
}

/// Spots for marks that belong to `wished` pixels of `width`: marks that would stand on each other stand side by side around
/// where they belong.
fn spots(wished: &[f64], width: f64) -> Vec<Spot> {
    let apart = (width / (2 * wished.len().max(1)) as f64).min(14.0);
    /// Neighbours in a row.
    struct Group {
        members: Vec<usize>,
        middle: f64,
    }
    impl Group {
        fn half(&self, apart: f64) -> f64 {
            (self.members.len() - 1) as f64 / 2.0 * apart
        }
    }
    let mut order: Vec<usize> = (0..wished.len()).collect();
    order.sort_by(|a, b| wished[*a].total_cmp(&wished[*b]));
    let mut groups: Vec<Group> = Vec::new();
    for index in order {
        let mut group = Group {
            members: vec![index],
            middle: wished[index],
        };
        while let Some(before) = groups.pop_if(|before| {
            before.middle + before.half(apart) + apart > group.middle - group.half(apart)
        }) {
            let mut members = before.members;
            members.append(&mut group.members);
            let sum: f64 = members.iter().map(|member| wished[*member]).sum();
            let middle = sum / members.len() as f64;
            group = Group { members, middle };
        }
        groups.push(group);
    }
    let mut spots = vec![
        Spot {
            own: 0.0,
            first: 0.0,
            last: 0.0
        };
        wished.len()
    ];
    for group in groups {
        let (first, last) = (
            group.middle - group.half(apart),
            group.middle + group.half(apart),
        );
        for (place, member) in group.members.iter().enumerate() {
            let own = first + place as f64 * apart;
            spots[*member] = Spot { own, first, last };
        }
    }
    spots
}

/// Where labels stand, so that none stands on another.
#[derive(Default)]
struct Labels(Vec<i32>);

impl Labels {
    /// Pixels that a line of text takes.
    const LINE: i32 = 16;

    /// The free height nearest to the one that is wished for.
    fn place(&mut self, wished: i32) -> i32 {
        let is_free = |height: &i32| {
            self.0
                .iter()
                .all(|other| (other - height).abs() >= Self::LINE)
        };
        let around = (0..).flat_map(|far| [wished + far, wished - far]);
        // There are fewer labels than heights.
        let height = around.take(1 << 12).find(is_free).unwrap_or(wished);
        self.0.push(height);
        height
    }
}

/// Indices of the points that no other point with at most as much of the first coordinate is better than, by the first.
fn front(points: &[(f64, f64)], higher_is_better: bool) -> Vec<usize> {
    let goodness = |index: usize| match higher_is_better {
        true => points[index].1,
        false => -points[index].1,
    };
    // Of points as large as each other, the best one.
    let mut best: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, (size, _)) in points.iter().enumerate() {
        // Sizes are not negative.
        let entry = best.entry(size.to_bits()).or_insert(index);
        if goodness(index) > goodness(*entry) {
            *entry = index;
        }
    }
    let mut front: Vec<usize> = Vec::new();
    for index in best.into_values() {
        if front
            .last()
            .is_none_or(|last| goodness(index) > goodness(*last))
        {
            front.push(index);
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_and_near_their_points() {
        let mut labels = Labels::default();
        let placed = [100, 100, 104, 300].map(|wished| labels.place(wished));
        assert_eq!(placed, [100, 116, 84, 300]);
    }

    #[test]
    fn marks_stand_side_by_side_where_they_would_stand_on_each_other() {
        let own = |wished: &[f64]| {
            spots(wished, 500.0)
                .iter()
                .map(|spot| spot.own)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            own(&[100.0, 40.0, 100.0, 100.0]),
            [86.0, 40.0, 100.0, 114.0]
        );
        // Those that move may come upon a neighbour.
        assert_eq!(own(&[100.0, 100.0, 115.0]), [91.0, 105.0, 119.0]);
        let two = spots(&[10.0, 12.0], 500.0);
        let spot = |own| Spot {
            own,
            first: 4.0,
            last: 18.0,
        };
        assert_eq!(two, [spot(4.0), spot(18.0)]);
        assert!(spots(&[], 500.0).is_empty());
    }

    #[test]
    fn the_front_has_what_nothing_smaller_beats() {
        let points = [
            (3.0, 0.5),
            (1.0, 0.2),
            (2.0, 0.6),
            (2.0, 0.4),
            (4.0, 0.7),
            (5.0, 0.7),
        ];
        assert_eq!(front(&points, true), [1, 2, 4]);
        // As losses.
        assert_eq!(front(&points, false), [1]);
        assert_eq!(front(&[(2.0, 0.9), (3.0, 0.4)], false), [0, 1]);
        assert!(front(&[], true).is_empty());
    }
}
