//! The sources of a crate, scanned as text for `use` items and for paths in code that begin with
//! `crate` or `super`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The source files of a crate.
pub(crate) struct Sources {
    pub(crate) files: Vec<File>,
    by_module: BTreeMap<Vec<String>, usize>,
}

pub(crate) struct File {
    /// The file's path, relative to the crate's `src`.
    pub(crate) path: String,
    pub(crate) module: Vec<String>,
    /// The lines of the file, with comments and tests removed.
    code: Vec<String>,
    pub(crate) imports: Vec<Import>,
}

pub(crate) struct Import {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    is_reexport: bool,
}

impl Sources {
    pub(crate) fn read(root: &Path) -> Self {
        let mut sources = Sources { files: Vec::new(), by_module: BTreeMap::new() };
        sources.read_folder(root, root);
        assert!(!sources.files.is_empty());
        sources
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        // The root file declares which modules are compiled only for tests, so it is read first.
        let root_files = ["mod.rs", "lib.rs"].map(|name| folder.join(name));
        let root_file = root_files.iter().find(|file| file.exists());
        let (_, tests) =
            code(&root_file.map(|file| fs::read_to_string(file).unwrap()).unwrap_or_default());
        for path in entries {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if tests.contains(&stem) {
                continue;
            } else if path.is_dir() {
                self.read_folder(root, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative =
                    path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                self.add(relative, &fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn add(&mut self, path: String, text: &str) {
        let mut module: Vec<String> =
            path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
        let (code, _) = code(text);
        let imports = imports(&code);
        self.by_module.insert(module.clone(), self.files.len());
        self.files.push(File { path, module, code, imports });
    }

    /// Returns the file that contains the item that `path` names in the module `from`, following
    /// re-exports. Returns `None` for items of other crates.
    pub(crate) fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<usize> {
        let mut at = from.to_vec();
        let mut rest = path;
        match rest[0].as_str() {
            "crate" => at.clear(),
            "self" | "super" => {}
            child => {
                at.push(child.to_owned());
                self.by_module.get(&at)?;
            }
        }
        rest = if rest[0] == "super" { rest } else { &rest[1..] };
        while let [name, more @ ..] = rest {
            if name == "super" {
                at.pop();
            } else {
                at.push(name.clone());
                if !self.by_module.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
            rest = more;
        }
        let file = *self.by_module.get(&at)?;
        let Some(name) = rest.first().filter(|_| depth < 8) else { return Some(file) };
        let reexports = self.files[file].imports.iter().filter(|import| import.is_reexport);
        let mut found = reexports.filter(|import| import.path.last() == Some(name));
        let through = found.find_map(|import| self.resolve(&at, &import.path, depth + 1));
        Some(through.unwrap_or(file))
    }

    /// Whether a path names an item in the crate root. Exported macros are exempt, because they
    /// exist only in the crate root. Their names begin with underscores.
    pub(crate) fn is_through_root(&self, path: &[String]) -> bool {
        let names_item = |name: &String| !name.starts_with("__");
        path[0] == "crate"
            && path.get(1).is_some_and(names_item)
            && !self.by_module.contains_key(&path[1..2])
    }

    /// Which file imports which other file, with the line of the first import.
    pub(crate) fn edges(&self) -> BTreeMap<(usize, usize), usize> {
        let mut edges = BTreeMap::new();
        for (from, file) in self.files.iter().enumerate() {
            for import in &file.imports {
                match self.resolve(&file.module, &import.path, 0) {
                    Some(to) if to != from => *edges.entry((from, to)).or_insert(import.line),
                    _ => 0,
                };
            }
        }
        edges
    }
}

impl File {
    pub(crate) fn mentions<'a>(
        &'a self,
        words: &'a [&str],
    ) -> impl Iterator<Item = (usize, &'a str)> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        self.code.iter().enumerate().flat_map(move |(index, line)| {
            let found = words.iter().filter(move |word| {
                line.match_indices(**word).any(|(at, _)| {
                    !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word)
                })
            });
            found.map(move |word| (index + 1, *word))
        })
    }
}

/// Returns the lines of a file, with comments and tests blanked, and the modules that are declared
/// only for tests.
fn code(text: &str) -> (Vec<String>, BTreeSet<String>) {
    let mut tests = BTreeSet::new();
    let mut lines = Vec::new();
    // The line that ends the current test-only item.
    let mut item_end = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or("").trim_end();
        let indent = &line[..line.len() - line.trim_start().len()];
        let kept = match &item_end {
            None if line.trim_start().starts_with("#[cfg(test)]") => {
                item_end = Some(format!("{indent}}}"));
                ""
            }
            None => line,
            Some(end) => {
                if let Some((_, module)) = line.trim_end_matches(';').split_once("mod ") {
                    tests.insert(module.to_owned());
                }
                if line == *end || line.ends_with(';') && format!("{indent}}}") == *end {
                    item_end = None;
                }
                ""
            }
        };
        lines.push(kept.to_owned());
    }
    (lines, tests)
}

/// Returns all paths in the code that may lead to modules of the crate.
fn imports(code: &[String]) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut inline_module_end = None;
    let mut lines = code.iter().zip(1..);
    while let Some((code, line)) = lines.next() {
        let before = imports.len();
        if let Some((visibility, item)) = code
            .split_once("use ")
            .filter(|(before, _)| before.trim().is_empty() || before.trim().starts_with("pub"))
        {
            let mut item = item.to_owned();
            while !item.contains(';') {
                item += lines.next().map_or(";", |(more, _)| more);
            }
            let is_reexport = !visibility.trim().is_empty();
            let tree = item.split(';').next().unwrap_or_default();
            expand(&[], tree, &mut |path| imports.push(Import { line, path, is_reexport }));
        } else {
            let paths = paths_within(code);
            imports.extend(paths.map(|path| Import { line, path, is_reexport: false }));
        }
        if let Some(end) = &inline_module_end {
            // In an inline module, `super` is the module of the file itself.
            for import in imports[before..].iter_mut().filter(|import| import.path[0] == "super") {
                import.path[0] = "self".to_owned();
            }
            if code == end {
                inline_module_end = None;
            }
        } else if code.contains("mod ") && code.ends_with(" {") {
            let indent = code.len() - code.trim_start().len();
            inline_module_end = Some(format!("{}}}", &code[..indent]));
        }
    }
    imports
}

/// Returns the paths within a line of code that begin with `crate` or `super`.
fn paths_within(code: &str) -> impl Iterator<Item = Vec<String>> {
    let starts = ["crate::", "super::"].into_iter().flat_map(|start| code.match_indices(start));
    let starts = starts.filter(|&(at, _)| {
        !code[..at].ends_with(|c: char| c == '$' || c == ':' || c == '_' || c.is_alphanumeric())
    });
    starts.map(|(at, _)| {
        let end = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
        let path = code[at..].split(end).next().unwrap_or_default();
        path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    })
}

/// Adds each path of a `use` tree.
fn expand(prefix: &[String], tree: &str, add: &mut dyn FnMut(Vec<String>)) {
    let (path, group) =
        tree.split_once('{').map_or((tree, None), |(path, group)| (path, Some(group)));
    let path = path.split(" as ").next().unwrap_or_default();
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "*");
    let mut full = prefix.to_vec();
    full.extend(names.filter(|name| prefix.is_empty() || *name != "self").map(str::to_owned));
    let Some(group) = group else { return add(full) };
    let group = &group[..group.rfind('}').unwrap_or(group.len())];
    let mut depth = 0;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.filter(|part| !part.trim().is_empty()) {
        expand(&full, part, add);
    }
}
