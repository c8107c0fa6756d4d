//! Properties of every edit, checked against many inventories in many layouts.

use std::fmt::Write;

use proptest::prelude::*;
use similar::{ChangeTag, TextDiff};

use super::super::{AgentSpec, HostName};
use super::*;

/// How hosts are listed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Listed {
    Dashes,
    Brackets,
    BracketsInLines { comma: bool, closed: bool },
}

/// How one host is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Address,
    FlowMap,
    BlockMap,
}

/// A way to write an inventory.
#[derive(Debug, Clone)]
struct Hand {
    step: usize,
    dash: usize,
    gap: usize,
    crlf: bool,
    last_newline: bool,
    comments: bool,
    /// Whether the group to change is the last part of the file.
    at_end: bool,
    listed: Listed,
    items: Vec<Item>,
    quote: &'static str,
    anchored: bool,
    /// Whether the first host is an alias of an address elsewhere.
    aliased: bool,
}

fn hands() -> impl Strategy<Value = Hand> {
    let listed = prop_oneof![
        Just(Listed::Dashes),
        Just(Listed::Brackets),
        (any::<bool>(), any::<bool>())
            .prop_map(|(comma, closed)| Listed::BracketsInLines { comma, closed }),
    ];
    let item =
        prop_oneof![Just(Item::Address), Just(Item::FlowMap), Just(Item::BlockMap)];
    let quote = prop::sample::select(&["", "'", "\""][..]);
    let spaces = (1..6usize, 0..4usize, 1..4usize);
    let flags = prop::array::uniform6(any::<bool>());
    (spaces, listed, prop::collection::vec(item, 1..4), quote, flags).prop_map(
        |((step, dash, gap), listed, items, quote, flags)| {
            let [crlf, last_newline, comments, at_end, anchored, aliased] = flags;
            Hand {
                step,
                dash,
                gap,
                crlf,
                last_newline,
                comments,
                at_end,
                listed,
                items,
                quote,
                anchored,
                aliased,
            }
        },
    )
}

impl Hand {
    fn note(&self, text: &str) -> String {
        if self.comments {
            format!("  # {text}, [and] more: {{x}}")
        } else {
            String::new()
        }
    }

    fn item(&self, n: usize, form: Item, inner: &str) -> String {
        let quote = self.quote;
        let address = match (self.aliased, n) {
            (true, 0) => "*first".to_owned(),
            _ => format!("{quote}10.0.0.{}{quote}", 31 + n),
        };
        match form {
            Item::Address => address,
            Item::FlowMap => {
                format!("{{address: {address}, attributes: {{rack: a}}}}")
            }
            Item::BlockMap => {
                format!("address: {address}\n{inner}# between\n{inner}name: w{n}")
            }
        }
    }

    fn list(&self) -> String {
        let anchor = if self.anchored { " &hosts" } else { "" };
        let pad = " ".repeat(2 * self.step + self.dash);
        let gap = " ".repeat(self.gap);
        let inner = format!("{pad} {gap}");
        let each = self.items.iter().enumerate();
        match self.listed {
            Listed::Dashes => {
                let lines = each.map(|(n, form)| {
                    let item = self.item(n, *form, &inner);
                    format!("\n{pad}-{gap}{item}{}", self.note("a host"))
                });
                format!("{anchor}{}{}", self.note("all"), lines.collect::<String>())
            }
            Listed::Brackets => {
                let items = each.map(|(n, form)| self.item(n, flow(*form), ""));
                format!("{anchor} [{}]", items.collect::<Vec<_>>().join(" , "))
            }
            Listed::BracketsInLines { comma, closed } => {
                let n_last = self.items.len() - 1;
                let mut out = format!("{anchor} [{}", self.note("all"));
                for (n, form) in each {
                    let item = self.item(n, flow(*form), "");
                    let comma = if n < n_last || comma { "," } else { "" };
                    let _ = write!(out, "\n{pad}{item}{comma}");
                    if n < n_last || !closed {
                        out += &self.note("a host, too");
                    }
                }
                out + &if closed { "]".to_owned() } else { format!("\n{}]", &pad[1..]) }
            }
        }
    }

    fn text(&self) -> String {
        let (one, two) = (" ".repeat(self.step), " ".repeat(2 * self.step));
        let jump = if self.aliased { "{jump: [&first 10.0.0.31]}" } else { "{}" };
        let head = format!(
            "%HEAD\ncluster: \"rack7\"\nprovider: {{ssh: {jump}}}\ngroups:\n\
             {one}edge: {{roles: [control, edge], hosts: [10.0.0.2]}}\n"
        );
        let workers =
            format!("{one}workers:\n{two}roles: [agent]\n{two}hosts:{}\n", self.list());
        let other = format!(
            "{one}# others\n{one}spare:\n{two}roles:\n{two}- base\n{two}hosts: [10.0.0.9]\n"
        );
        let groups = match self.at_end {
            true => format!("{other}{workers}"),
            false => format!("{workers}{}\n{other}", self.note("after")),
        };
        let text = head.replace("%HEAD", "# an inventory") + &groups;
        let text = if self.last_newline { &*text } else { text.trim_end() };
        if self.crlf { text.replace('\n', "\r\n") } else { text.to_owned() }
    }
}

impl Hand {
    /// An inventory of provider `local`, with the number of workers as in `written`; another group
    /// has an anchor on its `count`.
    fn counted(&self, count: u16, written: &str, in_brackets: bool) -> String {
        let (one, two) = (" ".repeat(self.step), " ".repeat(2 * self.step + self.dash));
        let gap = " ".repeat(self.gap);
        let workers = match in_brackets {
            true => format!("{{roles: [agent],{gap}count:{gap}{written} ,}}"),
            false => format!(
                "{}\n{two}count:{gap}{written}{}\n{two}roles: [agent]",
                self.note("they work"),
                self.note("until spring"),
            ),
        };
        let spare = format!("{one}spare: {{roles: [base], count: &n {count}}}");
        let text = format!(
            "cluster: x\nprovider: {{local: {{network: {{cidr: 10.9.0.0/16}}}}}}\ngroups:\n\
             {one}all: {{roles: [control, edge], count: 1}}\n{spare}\n\
             {one}workers: {workers}\n"
        );
        let text = if self.last_newline { &*text } else { text.trim_end() };
        if self.crlf { text.replace('\n', "\r\n") } else { text.to_owned() }
    }
}

/// Between brackets, no map is written over lines.
fn flow(form: Item) -> Item {
    if form == Item::BlockMap { Item::FlowMap } else { form }
}

fn addition() -> impl Strategy<Value = Vec<GivenHost>> {
    let word =
        prop::sample::select(&["a", "true", "3.10", "-x", "null", "r/1", "no"][..]);
    let pair = ("[a-z]{1,4}", word.prop_map(str::to_owned));
    let attributes = prop::collection::btree_map(pair.0, pair.1, 0..3);
    let host = (attributes, any::<bool>());
    prop::collection::vec(host, 1..4).prop_map(|hosts| {
        let host = |(n, (attributes, named)): (usize, _)| {
            let address = format!("10.0.1.{n}");
            let name = if named { format!("new-{n}") } else { address.clone() };
            GivenHost {
                name: name.parse::<HostName>().expect("a name"),
                address: address.parse().expect("an address"),
                ssh: None,
                agent_spec: AgentSpec { attributes, ..AgentSpec::default() },
            }
        };
        hosts.into_iter().enumerate().map(host).collect()
    })
}

/// Checks that at most one line of a text has changed.
fn one_line_differs(before: &str, after: &str) {
    let diff = TextDiff::from_lines(before, after);
    let gone: Vec<_> =
        diff.iter_all_changes().filter(|c| c.tag() == ChangeTag::Delete).collect();
    assert!(gone.len() <= 1, "{gone:#?}\n{before}\n{after}");
    let mut rest = after.chars();
    let kept = before.chars().all(|c| rest.any(|other| other == c));
    assert!(kept, "something is lost:\n{before}\n{after}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn hosts_are_added_to_any_list_and_all_else_stays(
        hand in hands(),
        new in addition(),
    ) {
        let text = hand.text();
        let before = read(&text, &|_| true).expect("it is an inventory");
        let edited = add(&text, "workers", &Addition::Hosts(new.clone()), &|_| true);
        let edited = match edited {
            Ok(edited) => edited,
            Err(why) => panic!("{why:?}\n{text}"),
        };
        let mut meant = before;
        for group in meant.groups.iter_mut().filter(|group| group.name == "workers") {
            let Members::Hosts(hosts) = &mut group.members else { panic!("a count") };
            hosts.extend(new.clone());
        }
        prop_assert_eq!(read(&edited.text, &|_| true), Ok(meant), "{}", edited.text);
        one_line_differs(&text, &edited.text);
        prop_assert_eq!(edited.text.ends_with('\n'), text.ends_with('\n'));
        prop_assert_eq!(edited.text.contains("\r\n"), hand.crlf);
        let lone = edited.text.replace("\r\n", "").contains('\n');
        prop_assert!(!(hand.crlf && lone), "{:?}", edited.text);
    }

    #[test]
    fn a_number_grows_wherever_it_stands_and_all_else_stays(
        hand in hands(),
        (count, more) in (1..200u16, 1..20u16),
        in_brackets in any::<bool>(),
    ) {
        let written = if hand.aliased { "*n".to_owned() } else { count.to_string() };
        let text = hand.counted(count, &written, in_brackets);
        let before = read(&text, &|_| true).expect("it is an inventory");
        let edited = add(&text, "workers", &Addition::Machines(more), &|_| true);
        let edited = edited.map_err(|why| TestCaseError::fail(format!("{why:?}\n{text}")))?;
        let mut meant = before;
        for group in meant.groups.iter_mut().filter(|group| group.name == "workers") {
            group.members = Members::Count(count + more);
        }
        prop_assert_eq!(read(&edited.text, &|_| true), Ok(meant), "{}", edited.text);
        let expected = hand.counted(count, &(count + more).to_string(), in_brackets);
        prop_assert_eq!(edited.text, expected);
    }

    #[test]
    fn any_damaged_inventory_is_edited_as_meant_or_refused(
        place in 0..1000usize,
        piece in prop::sample::select(&["*a", "&a ", "- ", "[", "]", "{", "\n", "#", ",", "? "][..]),
        hand in hands(),
        new in addition(),
    ) {
        let mut text = hand.text();
        let at = text.floor_char_boundary(place * text.len() / 1000);
        text.insert_str(at, piece);
        if let Ok(edited) = add(&text, "workers", &Addition::Hosts(new), &|_| true) {
            prop_assert_eq!(read(&edited.text, &|_| true), Ok(edited.inventory));
        }
    }
}
