//! The program as a single file: in its own folder, with an empty home, without a checkout.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use platform::digest::Digest;
use platform::images::pins::{FILE, Pins};
use platform::images::{build, recipes};
use platform::inventory::catalog::{self, ImageSource};
use platform::inventory::{self, BuiltIn, CatalogSource};
use tempfile::TempDir;

/// A folder to work in and an empty home. No Docker, no cloud, no settings.
struct Place {
    folder: TempDir,
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let new = || tempfile::tempdir().unwrap();
        Self { folder: new(), home: new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the program; returns its exit code and both outputs.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } =
            Command::new(env!("CARGO_BIN_EXE_platform"))
                .args(words)
                .current_dir(self.folder.path())
                .env_clear()
                .env("HOME", self.home.path())
                .env("PATH", self.home.path())
                .output()
                .unwrap();
        let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (status.code().unwrap(), said.concat())
    }

    /// Gives every tag of a built-in catalogue a digest, so that no registry is asked.
    fn pin(&self, name: BuiltIn) {
        let unpacked = tempfile::tempdir().unwrap();
        let folder = recipes::unpack(unpacked.path()).unwrap();
        let references = references(name, &folder).into_iter();
        let pins = Pins::from_iter(references.map(|it| (it, Digest::of(b"image"))));
        self.write(FILE, &pins.text());
    }
}

fn references(name: BuiltIn, folder: &Path) -> BTreeSet<String> {
    let catalog = catalog::read(recipes::catalog(name), &recipes::exists).unwrap();
    let entries = catalog.components.values().chain(&catalog.machine);
    entries
        .flat_map(|entry| match &entry.source {
            ImageSource::Build(inner) => build::references(&folder.join(inner)).unwrap(),
            ImageSource::Upstream(reference) => vec![reference.clone()],
            ImageSource::Archive(_) => Vec::new(),
        })
        .map(|reference| reference.to_string())
        .collect()
}

/// The catalogue that an inventory uses.
fn taken(text: &str) -> CatalogSource {
    inventory::read(text, &|_| true).unwrap().platform.images
}

/// An inventory of this provider as `init` writes it, and the output of `image pin` for it: that
/// requires that the inventory was read and its catalogue found, with every folder to build from.
fn begun(place: &Place, provider: &str, name: BuiltIn) -> String {
    let printed = place.run(&["init", "--provider", provider]);
    let file = format!("{provider}.yaml");
    let written = place.run(&["init", "--provider", provider, "--output-file", &file]);
    assert_eq!(written.0, 0, "{}", written.1);
    let text = place.text(&file);
    assert_eq!(printed, (0, text.clone()));
    assert_eq!(taken(&text), CatalogSource::BuiltIn(name));
    let again = place.run(&["init", "--provider", provider, "--output-file", &file]);
    assert_eq!(again.0, 1, "{}", again.1);
    assert!(again.1.contains(&file) && place.text(&file) == text, "{}", again.1);

    place.pin(name);
    let pinned = place.run(&["image", "pin", &file]);
    let nothing = format!("Nothing to do: {FILE} has a digest for each tag.\n");
    assert_eq!(pinned, (0, nothing));
    file
}

#[test]
fn a_lab_on_this_computer_begins_in_any_folder() {
    let place = Place::new();
    let file = begun(&place, "local", BuiltIn::Clusterd);
    let (code, said) = place.run(&["plan", &file]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no `docker` on this computer"), "{said}");
    let left = fs::read_dir(place.home.path()).unwrap().count();
    assert_eq!(left, 0, "the home stays empty");
}

#[test]
fn machines_that_exist_are_planned_for_in_any_folder() {
    let place = Place::new();
    let file = begun(&place, "ssh", BuiltIn::Base);
    // Nothing listens there: the plan reaches its connections and stops.
    let text = place.text(&file).replace("# port: 22", "port: 1");
    let text = text.replace("control-3.example.com", "127.0.0.1");
    let text = ["11", "12", "21"].iter().fold(text, |text, last| {
        let (address, given) = (format!("10.0.0.{last}"), "ssh: 127.0.0.1");
        text.replacen(&address, &format!("{{address: {address}, {given}}}"), 1)
    });
    place.write(&file, &text);
    let (code, said) = place.run(&["plan", &file]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("control-3") && said.contains("10.0.0.21"), "{said}");
}

#[test]
fn instances_of_aws_are_counted_in_any_folder() {
    let place = Place::new();
    let keys = place.home.path().join(".ssh");
    fs::create_dir(&keys).unwrap();
    for key in ["id_ed25519", "id_ed25519.pub"] {
        fs::write(keys.join(key), "a key of the operator's").unwrap();
    }
    let file = begun(&place, "aws", BuiltIn::Mesos);
    let (code, said) = place.run(&["cost", &file]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("m7i.large"), "{said}");
}

#[test]
fn recipes_are_written_out_to_be_changed_and_taken() {
    let place = Place::new();
    let (code, said) = place.run(&["image", "recipes", "own"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = place.run(&["image", "recipes", "own"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("own is not empty"), "{said}");

    let file = begun(&place, "local", BuiltIn::Clusterd);
    let text = place.text(&file).replace("images: clusterd", "images: own/mesos.yaml");
    place.write(&file, &text);
    place.pin(BuiltIn::Mesos);
    let (code, said) = place.run(&["image", "pin", &file]);
    assert_eq!(code, 0, "{said}");

    // A package instead of the images from the hub: its folder is not based on them.
    let own =
        place.text("own/mesos.yaml").replace("build: mesos", "build: mesos-package");
    place.write("own/mesos.yaml", &own);
    let folder = place.path("own/mesos-package");
    assert_eq!(build::references(&folder).unwrap(), []);
    assert_eq!(place.run(&["image", "pin", &file]).0, 0);
}

#[test]
fn the_images_of_the_built_in_catalogues_are_those_that_their_text_names() {
    let dir = tempfile::tempdir().unwrap();
    let folder = recipes::unpack(dir.path()).unwrap();
    let frameworks =
        ["docker.io/mesosphere/chronos:v3.0.2", "docker.io/mesosphere/marathon:v1.11.24"];
    let with = |own: &[&str]| -> BTreeSet<String> {
        own.iter().chain(&frameworks).map(|it| (*it).to_owned()).collect()
    };
    let mesos = [
        "docker.io/library/docker:25.0.5-cli",
        "docker.io/openeuler/mesos:1.11.0-oe2403sp1",
    ];
    assert_eq!(references(BuiltIn::Mesos, &folder), with(&mesos));
    let clusterd = ["docker.io/avhost/mesos-mini:v1.11.0-0.8.0"];
    assert_eq!(references(BuiltIn::Clusterd, &folder), with(&clusterd));
    assert!(references(BuiltIn::Base, &folder).is_empty());
}

/// An inventory whose registry is an image with a tag, at a port where nothing listens.
fn with_an_unknown_tag(place: &Place) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference = format!("127.0.0.1:{port}/vendor/registry:2");
    place.write(
        "lab.yaml",
        "cluster: lab\nprovider: {ssh: {user: ops, port: 1}}\n\
         groups: {edge: {roles: [edge], hosts: [{address: 10.0.0.1, ssh: 127.0.0.1}]}}\nplatform: {images: own.yaml}\n",
    );
    place.write(
        "own.yaml",
        &format!("components: {{registry: {{version: '2', image: '{reference}'}}}}\n"),
    );
    reference
}

#[test]
fn a_tag_that_nobody_can_be_asked_for_is_said_before_any_host_is_reached() {
    let place = Place::new();
    let reference = with_an_unknown_tag(&place);
    for words in [&["plan", "lab.yaml"][..], &["up", "lab.yaml", "--yes"]] {
        let (code, said) = place.run(words);
        assert_eq!(code, 1, "{said}");
        let expected = [reference.as_str(), FILE, "`platform image pin INVENTORY`"];
        for text in expected {
            assert!(said.contains(text), "{text} is not in:\n{said}");
        }
        assert!(!place.path(FILE).exists());
    }

    place.write(FILE, &format!("images:\n  {reference}: {}\n", Digest::of(b"x")));
    let (code, said) = place.run(&["plan", "lab.yaml"]);
    assert_eq!(code, 5, "its digest is known, so no registry is asked: {said}");
    let (code, said) = place.run(&["image", "pin", "--update", "lab.yaml"]);
    assert_eq!(code, 1, "{said}");

    place.write(FILE, "images: {}\nmore: {}\n");
    let (code, said) = place.run(&["plan", "lab.yaml"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(FILE) && said.contains("`more`"), "{said}");
}

#[test]
fn a_cost_is_told_without_the_key_of_the_machines() {
    let place = Place::new();
    let missing = place.path("missing").display().to_string();
    let (before, after) = ("key: ", format!("key: {missing} # "));
    assert!(inventory::EXAMPLE_AWS.contains(before), "the example has a key");
    place.write("aws.yaml", &inventory::EXAMPLE_AWS.replacen(before, &after, 1));
    let (code, said) = place.run(&["plan", "aws.yaml"]);
    assert!(code == 3 && said.contains("missing"), "{code}: {said}");
    let (code, said) = place.run(&["cost", "aws.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("a month"), "{said}");
}
