//! Which job starts which: checks and drawings. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;

use crate::api::chronos::JobSummary;

/// The jobs with their parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobGraph {
    /// The parents of each job; none for a job with a schedule.
    pub jobs: BTreeMap<String, Vec<String>>,
}

impl JobGraph {
    /// The graph of these jobs.
    pub(super) fn of(jobs: &[JobSummary]) -> Self {
        let with_parents = |job: &JobSummary| (job.name.clone(), job.parents.clone());
        Self { jobs: jobs.iter().map(with_parents).collect() }
    }

    /// The jobs that a job starts, by their names.
    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_child = move |(_, parents): &(&String, &Vec<String>)| {
            parents.iter().any(|parent| parent == name)
        };
        self.jobs.iter().filter(is_child).map(|(child, _)| child.as_str())
    }

    /// The way from a job to itself that these parents would make: the job, the one that it
    /// starts, and so on, the job again at the end.
    pub(super) fn cycle(&self, name: &str, parents: &[String]) -> Option<Vec<String>> {
        let mut ways: Vec<Vec<&str>> = vec![vec![name]];
        let mut seen = BTreeSet::from([name]);
        while let Some(way) = ways.pop() {
            let last = *way.last()?;
            if parents.iter().any(|parent| parent == last) {
                let closed = way.into_iter().chain([name]);
                return Some(closed.map(str::to_owned).collect());
            }
            for child in self.children(last) {
                if seen.insert(child) {
                    ways.push(way.iter().copied().chain([child]).collect());
                }
            }
        }
        None
    }

    /// The graph for Graphviz.
    pub fn dot(&self) -> String {
        let mut text = "digraph jobs {\n".to_owned();
        for (name, parents) in &self.jobs {
            // Writing to a string does not fail. Names have no quotes.
            let _ = writeln!(text, "  \"{name}\";");
            for parent in parents {
                let _ = writeln!(text, "  \"{parent}\" -> \"{name}\";");
            }
        }
        text + "}\n"
    }

    /// The graph as text: below each job, what it starts. What stands in more than one place is
    /// drawn once, and has `(see above)` elsewhere.
    pub fn show(&self) -> String {
        if self.jobs.is_empty() {
            return "Chronos has no job.\n".to_owned();
        }
        let mut text = String::new();
        let mut drawn = BTreeSet::new();
        for (name, _) in self.jobs.iter().filter(|(_, parents)| parents.is_empty()) {
            self.draw(name, 0, &mut drawn, &mut text);
        }
        text
    }

    fn draw<'a>(
        &'a self,
        name: &'a str,
        depth: usize,
        drawn: &mut BTreeSet<&'a str>,
        text: &mut String,
    ) {
        let is_new = drawn.insert(name);
        let has_more = !is_new && self.children(name).next().is_some();
        let note = if has_more { " (see above)" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:indent$}{name}{note}", "", indent = depth * 2);
        for child in self.children(name).filter(|_| is_new) {
            self.draw(child, depth + 1, drawn, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(jobs: &[(&str, &[&str])]) -> JobGraph {
        let texts =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let job =
            |(name, parents): &(&str, &[&str])| ((*name).to_owned(), texts(parents));
        JobGraph { jobs: jobs.iter().map(job).collect() }
    }

    #[test]
    fn a_job_that_would_start_itself_is_found_with_the_way() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["a"])]);
        let way = |name: &str, parent: &str| graph.cycle(name, &[parent.to_owned()]);
        assert_eq!(way("a", "a").unwrap(), ["a", "a"]);
        assert_eq!(way("a", "c").unwrap(), ["a", "b", "c", "a"]);
        assert_eq!(way("new", "c"), None);
        assert_eq!(way("d", "c"), None);
    }

    #[test]
    fn the_graph_is_drawn_as_text_and_for_graphviz() {
        let graph =
            graph(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"]), ("d", &["c"])]);
        assert_eq!(graph.show(), "a\n  b\n    c\n      d\n  c (see above)\n");
        let dot = graph.dot();
        assert!(dot.starts_with("digraph jobs {\n  \"a\";\n") && dot.ends_with("}\n"));
        assert!(dot.contains("  \"b\" -> \"c\";\n"), "{dot}");
    }
}
