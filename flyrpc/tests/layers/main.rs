//! Checks the code map of ARCHITECTURE.md against the sources: who may import whom, what the pure half
//! must not use, and that no files import one another in a circle. Comments and tests are exempt.

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use self::sources::Sources;

/// The modules of `flyrpc/src` from the top down, as the code map lists them. A file may import from its
/// own module and from the modules below it.
const MODULES: &[&str] = &[
    "lib",
    "guide",
    "fuzz",
    "unstable",
    "runtime/builder",
    "runtime/node",
    "runtime/events",
    "runtime/signals",
    "runtime/cluster",
    "runtime/private",
    "runtime/tarpc",
    "runtime/client",
    "runtime/shared",
    "runtime/server",
    "runtime/context",
    "runtime/link",
    "service",
    "proto/discovery",
    "proto/membership",
    "proto/routing",
    "proto/link",
    "proto/wire",
    "telemetry",
    "config",
    "env",
    "codec",
    "error",
    "types",
];

/// Folders whose modules are on the map instead of themselves. Their `mod.rs` only declares those.
const DIVIDED: &[&str] = &["runtime", "proto"];

/// What the values and state machines of the pure half must not name. Addresses from `std::net` are
/// values.
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

/// Imports, as (from, to), that close a circle because a trait demands it. ARCHITECTURE.md names each.
const CIRCLES: &[(&str, &str)] = &[];

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
                wrong.push(at + "import by the path of the module, not through the crate root");
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
        assert!(present.contains(module), "`{module}` is on the code map and not in flyrpc/src");
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
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let mut circles = BTreeSet::new();
    for root in ["flyrpc/src", "flyrpc-macros/src", "flyrpc-testkit/src"] {
        let sources = Sources::read(&workspace().join(root));
        let mut edges = sources.edges();
        let name = |file: usize| sources.files[file].path.as_str();
        let allowed = |from, to| CIRCLES.contains(&(name(from), name(to)));
        if root == "flyrpc/src" {
            // Those that point up are reported as such.
            edges.retain(|&(a, b), _| !allowed(a, b) && !points_up(name(a), name(b)));
        }
        for &(from, to) in edges.keys() {
            let Some(mut circle) = path(&edges, to, from) else { continue };
            let first = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
            circle.rotate_left(first);
            let next = circle.iter().cycle().skip(1);
            let steps = circle.iter().zip(next).map(|(&from, &to)| {
                format!("{root}/{}:{} imports {}", name(from), edges[&(from, to)], name(to))
            });
            circles.insert((circle.len(), steps.collect::<Vec<_>>().join("\n")));
        }
    }
    let listed: Vec<String> = circles.into_iter().map(|(_, steps)| steps).collect();
    assert!(listed.is_empty(), "{} circles:\n\n{}", listed.len(), listed.join("\n\n"));
}

#[test]
fn each_circle_that_is_allowed_exists_and_is_documented() {
    let sources = Sources::read(&workspace().join("flyrpc/src"));
    let edges = sources.edges();
    let find = |path: &str| sources.files.iter().position(|file| file.path == path);
    for (from, to) in CIRCLES {
        let ends = find(from).zip(find(to)).filter(|ends| edges.contains_key(ends));
        let closed = ends.is_some_and(|(from, to)| path(&edges, to, from).is_some());
        assert!(closed, "{from} and {to} are in no circle any more");
        let named = architecture().contains(from) && architecture().contains(to);
        assert!(named, "ARCHITECTURE.md does not name {from} and {to}");
    }
}

/// The shortest path of imports between two files, ends included.
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

/// The part of a path that is on the code map: `runtime/link` of `runtime/link/reader.rs`.
fn module_of(path: &str) -> &str {
    let depth = 1 + usize::from(DIVIDED.iter().any(|top| path.starts_with(&format!("{top}/"))));
    let end = path.match_indices('/').nth(depth - 1).map_or(path.len(), |(at, _)| at);
    path[..end].trim_end_matches(".rs").trim_end_matches("/mod")
}

/// Whether an import between two files of flyrpc leads to a module that is not further down.
fn points_up(from: &str, to: &str) -> bool {
    let [from, to] = [from, to].map(module_of);
    from != to && rank_of(to).is_none_or(|below| Some(below) < rank_of(from))
}

fn rank_of(module: &str) -> Option<usize> {
    MODULES.iter().position(|listed| *listed == module)
}
