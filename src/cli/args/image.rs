//! The arguments of `platform image`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{Inventory, TargetArgs};

/// `platform image`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Image {
    /// What to do with images.
    #[command(subcommand)]
    pub verb: ImageVerb,
}

/// What to do with images.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ImageVerb {
    /// Build and get the images of a catalogue, before they are needed
    Build(ImageBuild),
    /// Show what an image of the registry of a cluster is made of
    Inspect(ImageInspect),
    /// List the images of the registry of a cluster
    Ls(ImageLs),
    /// Record which images the tags of an inventory's catalogue point to
    Pin(ImagePin),
    /// Push an image to the registry of a cluster, for its apps
    Push(ImagePush),
    /// Write out the built-in catalogues and the folders of their images
    Recipes(ImageRecipes),
    /// List the images of the registry of a cluster whose names have a text
    Search(ImageSearch),
}

/// `platform image build`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Needs Docker on this computer. Takes the same names as `platform.images`: `mesos`, `clusterd` or \
`base`, which are built in, or the path of a catalogue. Run it in the folder of the inventory: \
it keeps its results, including `platform.lock`, in the folder where you run it.

EXAMPLES
  The built-in images for Mesos:
    platform image build mesos

  The images of your own catalogue:
    platform image build recipes/mesos.yaml")]
pub struct ImageBuild {
    /// The catalogue: a built-in one by its name, or a YAML file
    #[arg(value_name = "CATALOG")]
    pub catalog: String,
}

/// `platform image pin`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
A tag can point to another image tomorrow. So when a tag is first used, the program asks its \
registry for the digest and keeps it in `platform.lock` beside the inventory. Commit that file, \
and everyone has the same images. `plan` and `up` do this by themselves; this verb does only \
this, for example if `plan` will run without a network. With `--update` it changes to what the \
tags point to now.

EXAMPLES
  Before you use the inventory where there is no network:
    platform image pin lab.yaml

  Change to what the tags point to now; `platform plan` then shows the effect:
    platform image pin --update lab.yaml")]
pub struct ImagePin {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Ask for all digests again, also for those that are kept
    #[arg(long)]
    pub update: bool,
}

/// `platform image push`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Sends the image to the edge of the cluster and returns when all edge hosts have it. What the \
registry has is not sent again, so a push that was cut goes on where it was, layer by layer. If \
there is an image for each of several kinds of machines, the one for this computer's kind is sent. \
Only an image of the local Docker needs Docker.

Without an inventory, PLATFORM_URL, PLATFORM_USER, PLATFORM_PASSWORD_FILE and PLATFORM_CA_FILE say \
where the edge is and who pushes; the push then returns when the first edge host has the image.

EXAMPLES
  An image of the local Docker, under the name that it has:
    platform image push team/app:1.0 -i lab.yaml

  A file of `docker save`, or an OCI layout in a file or folder:
    platform image push app.tar team/app:1.0 -i lab.yaml")]
pub struct ImagePush {
    /// A file of `docker save`, an OCI layout, or an image of the local Docker
    #[arg(value_name = "ARCHIVE|DIR|REF")]
    pub source: String,
    /// The name in the registry; without one, that which the image has
    #[arg(value_name = "NAME:TAG")]
    pub name: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform image ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  The images of apps, with their sizes and digests:
    platform image ls -i lab.yaml")]
pub struct ImageLs {
    /// Show also the images that the platform itself runs
    #[arg(long)]
    pub all: bool,
    /// Which cluster.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform image search`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  All images with `redis` in their names:
    platform image search redis -i lab.yaml")]
pub struct ImageSearch {
    /// A part of the name, in small or capital letters
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Search also the images that the platform itself runs
    #[arg(long)]
    pub all: bool,
    /// Which cluster.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform image inspect`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows the digest, the kinds of machines, what a container runs, labels and layers. Of an image for \
several kinds of machines, the layers are those for this computer's kind.

EXAMPLES
  platform image inspect team/app:1.0 -i lab.yaml")]
pub struct ImageInspect {
    /// The image
    #[arg(value_name = "NAME:TAG")]
    pub name: String,
    /// Which cluster.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform image recipes`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The built-in catalogues work without this. For another version, or another way to build, edit \
what this verb writes, and set `images: recipes/mesos.yaml` in the inventory.

EXAMPLES
  Into a new folder:
    platform image recipes recipes")]
pub struct ImageRecipes {
    /// The folder; it must be empty or not exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
