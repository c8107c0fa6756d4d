//! The words of `platform image`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::Inventory;

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
    /// Keep which images the tags of an inventory's catalogue stand for
    Pin(ImagePin),
    /// Write out the built-in catalogues and what their images are built from
    Recipes(ImageRecipes),
}

/// `platform image build`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Needs Docker on this computer. What `platform.images` can name can be named here: `mesos`, \
`clusterd` or `base`, which are built in, or the path of a catalogue. Run it in the folder of \
the inventory: what is kept, `platform.lock` included, is kept in the folder where it is run.

EXAMPLES
  The built-in images for Mesos:
    platform image build mesos

  Those of a catalogue of your own:
    platform image build recipes/mesos.yaml")]
pub struct ImageBuild {
    /// The catalogue: a built-in one by its name, or a YAML file
    #[arg(value_name = "CATALOG")]
    pub catalog: String,
}

/// `platform image pin`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
A tag may stand for another image tomorrow. So at the first use of one its registry is asked for \
the digest, and `platform.lock` beside the inventory keeps it: commit that file, and everyone has \
the same images. `plan` and `up` do that by themselves; this does it alone, as where `plan` has no \
network, and with `--update` moves to what the tags stand for now.

EXAMPLES
  Before the inventory goes where there is no network:
    platform image pin lab.yaml

  Take what the tags stand for now; `platform plan` then shows what that changes:
    platform image pin --update lab.yaml")]
pub struct ImagePin {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Ask for all digests anew, also for those that are kept
    #[arg(long)]
    pub update: bool,
}

/// `platform image recipes`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The built-in catalogues work without this. Whoever wants another version, or another way to \
build, changes what is written here and names a catalogue of it: `images: recipes/mesos.yaml`.

EXAMPLES
  Into a folder of their own:
    platform image recipes recipes")]
pub struct ImageRecipes {
    /// The folder; it is made, or is empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
