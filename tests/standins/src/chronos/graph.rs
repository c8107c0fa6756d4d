//! Which jobs run after which, and what their parents have done since they last ran. Pure.

use super::job::Job;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How often each parent ended well since its child last ran: by child and parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph(BTreeMap<String, BTreeMap<String, u64>>);

impl Graph {
    /// Makes these the parents of a job; none for one that runs on a schedule. What parents did
    /// that it keeps is kept.
    pub fn connect(&mut self, child: &str, parents: &[String]) {
        let mut known = self.0.remove(child).unwrap_or_default();
        if parents.is_empty() {
            return;
        }
        let kept = parents.iter().map(|parent| {
            let count = known.remove(parent).unwrap_or_default();
            (parent.clone(), count)
        });
        let kept = kept.collect();
        self.0.insert(child.to_owned(), kept);
    }

    /// The jobs that run after one.
    pub fn children(&self, parent: &str) -> Vec<String> {
        let of = |(child, parents): (&String, &BTreeMap<String, u64>)| {
            parents.contains_key(parent).then(|| child.clone())
        };
        self.0.iter().filter_map(of).collect()
    }

    /// A job ended well: those that may run now, because all of their parents did.
    pub fn ended_well(&mut self, parent: &str) -> Vec<String> {
        let mut ready = Vec::new();
        for (child, parents) in &mut self.0 {
            let n_parents = parents.len();
            let Some(count) = parents.get_mut(parent) else { continue };
            *count += 1;
            let count = *count;
            let fewest = parents.values().copied().min().unwrap_or_default();
            if n_parents == 1 || count == fewest {
                ready.push(child.clone());
            }
        }
        ready
    }

    /// A job has started: its parents begin anew.
    pub fn started(&mut self, child: &str) {
        for count in self.0.get_mut(child).into_iter().flat_map(BTreeMap::values_mut) {
            *count = 0;
        }
    }

    /// Whether these parents would make a job wait for itself.
    pub fn would_circle(&self, child: &str, parents: &[String]) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&str> = parents.iter().map(String::as_str).collect();
        while let Some(job) = waiting.pop() {
            if job == child {
                return true;
            }
            if seen.insert(job) {
                let above = self.0.get(job).into_iter().flat_map(BTreeMap::keys);
                waiting.extend(above.map(String::as_str));
            }
        }
        false
    }

    /// The graph as `dot` reads it.
    pub fn dot(&self, jobs: &BTreeMap<String, Job>) -> String {
        let number: BTreeMap<&str, usize> =
            jobs.keys().enumerate().map(|(i, name)| (name.as_str(), i + 1)).collect();
        let mut text = String::from("digraph G {\n");
        for (name, number) in &number {
            writeln!(text, "  {number} [ label=\"{name}\" ];").unwrap_or_default();
        }
        for (child, parent) in self.edges() {
            let ends = (number.get(parent), number.get(child));
            if let (Some(parent), Some(child)) = ends {
                writeln!(text, "  {parent} -> {child};").unwrap_or_default();
            }
        }
        text + "}\n"
    }

    /// Every child with each of its parents.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(child, parents)| {
            parents.keys().map(move |parent| (child.as_str(), parent.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn diamond() -> Graph {
        let mut graph = Graph::default();
        graph.connect("b", &names(&["a"]));
        graph.connect("c", &names(&["a"]));
        graph.connect("d", &names(&["b", "c"]));
        graph
    }

    #[test]
    fn parents_that_stay_keep_their_count() {
        let mut graph = diamond();
        graph.ended_well("b");
        graph.connect("d", &names(&["b", "e"]));
        assert_eq!(graph.ended_well("e"), names(&["d"]));
        assert_eq!(graph.children("b"), names(&["d"]));
        graph.connect("d", &[]);
        assert_eq!(graph.children("b"), names(&[]));
    }
}
