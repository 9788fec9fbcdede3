//! Checks the code map of ARCHITECTURE.md against the sources: which modules may import which,
//! which effects the pure half must not use, and that no files import each other in a cycle.
//! Comments and tests are exempt.

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use self::sources::Sources;

/// The modules of `flyrpc/src` from top to bottom, in the order of the code map. A file may import
/// from its own module and from the modules below it.
const MODULES: &[&str] = &[
    "lib",
    "guide",
    "operations",
    "fuzz",
    "unstable",
    "runtime/builder",
    "runtime/node",
    "runtime/check_runtime",
    "runtime/events",
    "runtime/signals",
    "runtime/visitor",
    "runtime/cluster",
    "runtime/operations",
    "runtime/private",
    "runtime/tarpc",
    "runtime/client",
    "runtime/shared",
    "runtime/server",
    "runtime/context",
    "runtime/task",
    "runtime/link",
    "service",
    "proto/discovery",
    "proto/membership",
    "proto/routing",
    "proto/link",
    "proto/seal",
    "proto/wire",
    "telemetry",
    "config",
    "env",
    "codec",
    "error",
    "types",
];

/// Folders that are represented on the code map by their modules. Their `mod.rs` only declares
/// these modules.
const DIVIDED: &[&str] = &["runtime", "proto"];

/// Folders of the pure half, whose values and state machines must not name any of `EFFECTS`.
/// Addresses from `std::net` are values, and therefore allowed.
const PURE: &[&str] = &["proto", "codec", "types"];
const EFFECTS: &[&str] = &[
    "tokio",
    "tokio_util",
    "tracing",
    "Mutex",
    "RwLock",
    "Env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "thread",
];

/// Imports, as (from, to), that close a cycle because a trait requires it. ARCHITECTURE.md names
/// each.
const CYCLES: &[(&str, &str)] = &[];

#[test]
fn imports_point_down_and_the_pure_half_has_no_effects() {
    let sources = Sources::read(&workspace().join("flyrpc/src"));
    let mut wrong = Vec::new();
    for file in &sources.files {
        let module = module_of(&file.path);
        let rank = rank_of(module);
        if rank.is_none() && !DIVIDED.contains(&module) {
            wrong.push(format!("{}: `{module}` is not on the code map", file.path));
        }
        for import in &file.imports {
            let Some(to) = sources.resolve(&file.module, &import.path, 0) else { continue };
            let target = &sources.files[to].path;
            let at = format!("{}:{}: ", file.path, import.line);
            if sources.is_through_root(&import.path) {
                wrong.push(at + "import by the module's path, not through the crate root");
            } else if points_up(&file.path, target) {
                wrong.push(format!("{at}`{module}` is not above `{}`", module_of(target)));
            }
        }
        if PURE.iter().any(|pure| module.split('/').next() == Some(pure)) {
            for (line, effect) in file.mentions(EFFECTS) {
                wrong.push(format!("{}:{line}: `{effect}` in the pure half", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_code_map_lists_these_modules_in_this_order() {
    let text = architecture();
    let map = text.split("\n## ").find(|section| section.starts_with("Code map"));
    let rows = map.expect("a section `Code map`").lines();
    let rows = rows.skip_while(|line| !line.starts_with("| module |")).skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| ")?.split(" | ").next());
    let listed: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert_eq!(listed, MODULES);
    let sources = Sources::read(&workspace().join("flyrpc/src"));
    let present: BTreeSet<&str> = sources.files.iter().map(|file| module_of(&file.path)).collect();
    for module in MODULES {
        assert!(present.contains(module), "`{module}` is on the code map but not in flyrpc/src");
    }
}

#[test]
fn the_files_that_the_architecture_names_exist() {
    let text = architecture();
    let paths = text.split('`').filter(|word| word.contains('/') && word.ends_with(".rs"));
    let missing: Vec<&str> = paths
        .filter(|path| {
            ["", "flyrpc/src"].iter().all(|root| !workspace().join(root).join(path).exists())
        })
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names missing files: {missing:#?}");
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let mut cycles = BTreeSet::new();
    for root in ["flyrpc/src", "flyrpc-macros/src", "flyrpc-testkit/src"] {
        let sources = Sources::read(&workspace().join(root));
        let mut edges = sources.edges();
        let name = |file: usize| sources.files[file].path.as_str();
        let allowed = |from, to| CYCLES.contains(&(name(from), name(to)));
        if root == "flyrpc/src" {
            // Another test reports imports that point up.
            edges.retain(|&(a, b), _| !allowed(a, b) && !points_up(name(a), name(b)));
        }
        for &(from, to) in edges.keys() {
            let Some(mut cycle) = path(&edges, to, from) else { continue };
            let first = (0..cycle.len()).min_by_key(|&at| cycle[at]).unwrap_or(0);
            cycle.rotate_left(first);
            let next = cycle.iter().cycle().skip(1);
            let steps = cycle.iter().zip(next).map(|(&from, &to)| {
                format!("{root}/{}:{} imports {}", name(from), edges[&(from, to)], name(to))
            });
            cycles.insert((cycle.len(), steps.collect::<Vec<_>>().join("\n")));
        }
    }
    let listed: Vec<String> = cycles.into_iter().map(|(_, steps)| steps).collect();
    assert!(listed.is_empty(), "{} import cycles:\n\n{}", listed.len(), listed.join("\n\n"));
}

#[test]
fn each_allowed_cycle_exists_and_is_documented() {
    let sources = Sources::read(&workspace().join("flyrpc/src"));
    let edges = sources.edges();
    let find = |path: &str| sources.files.iter().position(|file| file.path == path);
    for (from, to) in CYCLES {
        let ends = find(from).zip(find(to)).filter(|ends| edges.contains_key(ends));
        let closed = ends.is_some_and(|(from, to)| path(&edges, to, from).is_some());
        assert!(closed, "{from} and {to} are no longer in a cycle");
        let named = architecture().contains(from) && architecture().contains(to);
        assert!(named, "ARCHITECTURE.md does not name {from} and {to}");
    }
}

/// Returns the shortest path of imports between two files, including both ends.
fn path(edges: &BTreeMap<(usize, usize), usize>, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut paths = BTreeMap::from([(from, vec![from])]);
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        for (&(_, target), _) in edges.range((file, 0)..(file + 1, 0)) {
            if !paths.contains_key(&target) {
                let path = [&paths[&file][..], &[target]].concat();
                paths.insert(target, path);
                queue.push_back(target);
            }
        }
    }
    paths.remove(&to)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn architecture() -> String {
    fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap()
}

/// Returns the part of a path that is on the code map: `runtime/link` for `runtime/link/reader.rs`.
fn module_of(path: &str) -> &str {
    let depth = 1 + usize::from(DIVIDED.iter().any(|top| path.starts_with(&format!("{top}/"))));
    let end = path.match_indices('/').nth(depth - 1).map_or(path.len(), |(at, _)| at);
    path[..end].trim_end_matches(".rs").trim_end_matches("/mod")
}

/// Whether an import between two files of flyrpc leads to a different module that is not further
/// down.
fn points_up(from: &str, to: &str) -> bool {
    let [from, to] = [from, to].map(module_of);
    from != to && rank_of(to).is_none_or(|below| Some(below) < rank_of(from))
}

fn rank_of(module: &str) -> Option<usize> {
    MODULES.iter().position(|listed| *listed == module)
}
