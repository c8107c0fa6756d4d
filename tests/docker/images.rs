//! Images that the real Docker builds and loads.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use platform::images::build::{self, BuildError};
use platform::images::pins::Pins;
use platform::images::{archive, load};
use tokio::io::AsyncReadExt;

use crate::fixture::{ARCHITECTURE, Shelf, config, layer, saved};

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Images of the real Docker, removed at the end whatever happens.
struct Removed(Vec<String>);

impl Drop for Removed {
    fn drop(&mut self) {
        for image in self.0.iter().rev() {
            let _ = Command::new("docker").args(["image", "rm", "-f", image]).output();
        }
    }
}

#[tokio::test]
async fn docker_loads_a_packed_image_under_its_id_and_tag() {
    let shelf = Shelf::new();
    let layers = [layer(1, 5000), layer(2, 700)];
    let config = config(&[&layers[0], &layers[1]]);
    let archive = saved(&config, &[&layers[0], &layers[1]]);
    let image = shelf.read(&archive).await.unwrap();
    let load = load::pack("test-load", &image);
    let (mut packed, mut bytes) = (load.bytes, Vec::new());
    packed.read_to_end(&mut bytes).await.unwrap();
    let _removed = Removed(vec![load.tag.clone()]);
    let path = shelf.put(&bytes);
    docker(&["image", "load", "--input", &path.to_string_lossy()]);
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &load.tag]);
    assert_eq!(id, image.id().as_str());
}

/// A folder `images` with a base by script and an image on top of it, of names that no other
/// test run uses.
fn folders(shelf: &Shelf) -> (std::path::PathBuf, std::path::PathBuf) {
    let unique = shelf.path().file_name().unwrap().to_string_lossy().to_lowercase();
    let unique: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
    let base = shelf.path().join(format!("test-base-{unique}"));
    let top = shelf.path().join(format!("test-top-{unique}"));
    let base_name = base.file_name().unwrap().to_string_lossy();
    write(&base.join("rootfs"), "#!/bin/sh\necho making it >&2\ntar -c rootfs\n");
    let rootfs = base.join("rootfs");
    std::fs::set_permissions(rootfs, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dockerfile =
        format!("ARG BASE=platform/{base_name}\nFROM ${{BASE}}\nCOPY Dockerfile /etc/\n");
    write(&top.join("Dockerfile"), &dockerfile);
    (base, top)
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn folders_are_built_once_and_saved_as_archives() {
    let shelf = Shelf::new();
    let (base, top) = folders(&shelf);
    let tags = vec![
        build::tag(&base, &Pins::default()).unwrap(),
        build::tag(&top, &Pins::default()).unwrap(),
    ];
    let _removed = Removed(tags.clone());
    let (none, printed) = (Pins::default(), Mutex::new(Vec::new()));
    let on_line = |line: &str| printed.lock().unwrap().push(line.to_owned());

    let first =
        build::ensure_archive(&top, &none, &shelf.cache(), &on_line).await.unwrap();
    assert!(printed.lock().unwrap().iter().any(|line| line == "making it"));
    let image = archive::read(&first, &shelf.cache(), ARCHITECTURE).await.unwrap();
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &tags[1]]);
    assert_eq!(id, image.id().as_str());
    for blob in image.blobs() {
        blob.open().await.unwrap().read_to_end(&mut Vec::new()).await.unwrap();
    }
    let again = build::ensure_built(&base, &Pins::default(), &on_line).await.unwrap();
    assert_eq!(again, build::Built { tag: tags[0].clone(), was_built: false });

    write(&top.join("more"), "x");
    let _changed = Removed(vec![build::tag(&top, &Pins::default()).unwrap()]);
    let second =
        build::ensure_archive(&top, &none, &shelf.cache(), &on_line).await.unwrap();
    assert_ne!(first, second);
    assert!(!first.exists() && second.exists(), "the old archive is gone");
    assert_eq!(std::fs::read_dir(shelf.cache()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_script_that_breaks_off_leaves_no_image_and_its_last_words() {
    let shelf = Shelf::new();
    let (base, _) = folders(&shelf);
    write(&base.join("rootfs"), "#!/bin/sh\ntar -c rootfs\necho no space >&2\nexit 3\n");
    let tag = build::tag(&base, &Pins::default()).unwrap();
    let _removed = Removed(vec![tag.clone()]);
    let failed = build::ensure_built(&base, &Pins::default(), &|_| ()).await.unwrap_err();
    let BuildError::Failed { status, last_lines, .. } = &failed else {
        panic!("{failed}")
    };
    assert_eq!((*status, last_lines.as_str()), (3, "no space"));
    assert_eq!(docker(&["image", "ls", "-q", &tag]), "");
}

#[tokio::test]
async fn a_folder_without_a_recipe_is_said() {
    let shelf = Shelf::new();
    let empty = shelf.path().join("test-empty");
    std::fs::create_dir(&empty).unwrap();
    let failed =
        build::ensure_built(&empty, &Pins::default(), &|_| ()).await.unwrap_err();
    assert!(matches!(failed, BuildError::NothingToBuild(_)), "{failed}");
}
