//! The random numbers of the paths between hosts: each direction has its own, so that one more or one less message on a
//! path changes nothing elsewhere. They are separate from those of the programs, for the same reason.

use std::collections::BTreeMap;

use super::{ids::Path, topology::Topology};
use crate::rng::Rng;

pub(crate) struct PathRngs {
    seed: u64,
    paths: BTreeMap<(Use, Path), Rng>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Loss,
    Jitter,
}

impl PathRngs {
    pub(crate) fn new(seed: u64) -> Self {
        PathRngs { seed, paths: BTreeMap::new() }
    }

    pub(crate) fn of(&mut self, purpose: Use, path: Path, topology: &Topology) -> &mut Rng {
        self.paths.entry((purpose, path)).or_insert_with(|| {
            let name = |host| topology.host(host).name.as_str();
            let names = format!("{} → {}", name(path.from), name(path.to));
            Rng::new(!self.seed, &names, purpose as u64)
        })
    }
}
