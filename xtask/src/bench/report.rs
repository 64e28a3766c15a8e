//! Figures as a table and as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Samples of one figure, one per round.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one; the mean of the two in the middle when they are even in number.
    pub(super) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    fn spread(&self) -> Option<(f64, f64)> {
        let low = self.0.iter().copied().min_by(f64::total_cmp)?;
        let high = self.0.iter().copied().max_by(f64::total_cmp)?;
        Some((low, high))
    }
}

/// All figures of a scenario: by figure, then by peer.
#[derive(Default)]
pub(super) struct Scenario {
    pub(super) name: String,
    figures: Vec<(&'static str, Vec<(String, Samples)>)>,
}

impl Scenario {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), figures: Vec::new() }
    }

    pub(super) fn add(&mut self, figure: &'static str, peer: &str, value: f64) {
        let row = match self.figures.iter_mut().position(|(name, _)| *name == figure) {
            Some(row) => row,
            None => {
                self.figures.push((figure, Vec::new()));
                self.figures.len() - 1
            }
        };
        let peers = &mut self.figures[row].1;
        match peers.iter_mut().find(|(name, _)| name == peer) {
            Some((_, samples)) => samples.add(value),
            None => {
                let mut samples = Samples::default();
                samples.add(value);
                peers.push((peer.to_owned(), samples));
            }
        }
    }

    /// Prints medians, their spread, and the ratio of the first peer to each other one.
    pub(super) fn print(&self) {
        println!("\n{}", self.name);
        for (figure, peers) in &self.figures {
            let first = peers.first().and_then(|(_, samples)| samples.median());
            for (index, (peer, samples)) in peers.iter().enumerate() {
                let (Some(median), Some((low, high))) = (samples.median(), samples.spread()) else {
                    continue;
                };
                let ratio = match first {
                    Some(first) if index > 0 && median > 0.0 => {
                        format!("  {:.2}x of it", first / median)
                    }
                    _ => String::new(),
                };
                let figure = if index == 0 { *figure } else { "" };
                println!(
                    "  {figure:<28} {peer:<12} {median:>10.2}  ({low:.2} to {high:.2}){ratio}"
                );
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let figures: Map<String, Value> = self
            .figures
            .iter()
            .map(|(figure, peers)| {
                let peers: BTreeMap<&str, Value> = peers
                    .iter()
                    .map(|(peer, samples)| {
                        (peer.as_str(), json!({ "median": samples.median(), "samples": samples.0 }))
                    })
                    .collect();
                ((*figure).to_owned(), json!(peers))
            })
            .collect();
        json!({ "scenario": self.name, "figures": figures })
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn medians() {
        let median = |values: &[f64]| Samples(values.to_vec()).median();
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
