//! Source files, the errors they declare, and which error a path means.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use syn::visit::Visit;
use syn::{Item, UseTree};

use crate::{SOURCES, TESTS};

/// An enum that says why something ended or was not done.
#[derive(Debug)]
pub(crate) struct Reasons {
    pub(crate) krate: String,
    pub(crate) module: Vec<String>,
    name: String,
    pub(crate) variants: Vec<String>,
}

impl Reasons {
    /// A variant as the lists of `main.rs` name it.
    pub(crate) fn shown(&self, variant: &str) -> String {
        let module = self.module.join("::");
        format!("{}::{module}::{}::{variant}", self.krate, self.name)
    }
}

fn is_reason(name: &str) -> bool {
    name.ends_with("Error") || ["CloseReason", "SessionClose", "TransportFailure"].contains(&name)
}

/// A source file, with what its imports call by which name.
pub(crate) struct Source {
    pub(crate) krate: String,
    pub(crate) module: Vec<String>,
    imports: BTreeMap<String, Vec<String>>,
    pub(crate) is_test: bool,
    pub(crate) file: syn::File,
    pub(crate) tokens: TokenStream,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a text file");
        let shown = path.display();
        let tokens: TokenStream = text.parse().expect("tokens");
        let file = syn::parse2::<syn::File>(tokens.clone());
        let file = file.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let inside = path.strip_prefix(root).expect("below the root");
        let mut parts: Vec<String> = inside
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let krate = parts.remove(0);
        let is_test = parts.first().is_none_or(|first| first != "src")
            || krate == "tests"
            || parts.iter().any(|part| part == "tests");
        parts.retain(|part| !["src", "mod", "lib"].contains(&part.as_str()));
        let mut imports = Imports::default();
        imports.visit_file(&file);
        Self {
            krate,
            module: parts,
            imports: imports.0,
            is_test,
            file,
            tokens,
        }
    }

    /// Which enums a path may mean, by its imports; several when only the compiler
    /// could tell.
    pub(crate) fn resolve<'a>(&self, path: &[String], all: &'a [Reasons]) -> Vec<&'a Reasons> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let full: Vec<String> = match self.imports.get(first) {
            Some(full) => full.iter().chain(rest).cloned().collect(),
            None => path.to_vec(),
        };
        let Some((name, module)) = full.split_last() else {
            return Vec::new();
        };
        let mut found: Vec<_> = all.iter().filter(|reasons| reasons.name == *name).collect();
        let krate = match module.first().map(String::as_str) {
            Some("aqueduct_core") => "core",
            Some("aqueduct_handles" | "aqueduct_tokio" | "aqueduct_async_std") => "handles",
            Some("aqueduct_record") => "record",
            Some("aqueduct_mio") => "runtime-mio",
            _ => &self.krate,
        };
        narrow(&mut found, |reasons| reasons.krate == krate);
        match module.last() {
            Some(last) => narrow(&mut found, |reasons| reasons.module.last() == Some(last)),
            None => narrow(&mut found, |reasons| {
                self.module.starts_with(&reasons.module)
            }),
        }
        found
    }
}

/// Keeps what fits, or everything if nothing does.
fn narrow<'a>(found: &mut Vec<&'a Reasons>, fits: impl Fn(&'a Reasons) -> bool) {
    if found.iter().any(|reasons| fits(reasons)) {
        found.retain(|reasons| fits(reasons));
    }
}

#[derive(Default)]
struct Imports(BTreeMap<String, Vec<String>>);

impl Imports {
    fn add(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => {
                self.0.insert(name.ident.to_string(), with(&name.ident));
            }
            UseTree::Rename(renamed) => {
                let full = with(&renamed.ident);
                self.0.insert(renamed.rename.to_string(), full);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree, before)),
            _ => {}
        }
    }
}

impl Visit<'_> for Imports {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.add(&item.tree, &[]);
    }
}
fn sources(dir: &Path, root: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("interop") {
            sources(&path, root, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(Source::read(root, &path));
        }
    }
}

/// Every file, in the order of paths.
pub(crate) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for part in SOURCES {
        sources(&root.join(part).join("src"), &root, &mut found);
    }
    for part in TESTS {
        sources(&root.join(part), &root, &mut found);
    }
    found
}

/// Every enum that says why.
pub(crate) fn declared(sources: &[Source]) -> Vec<Reasons> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for item in &source.file.items {
            let Item::Enum(item) = item else { continue };
            let public = matches!(item.vis, syn::Visibility::Public(_));
            if public && is_reason(&item.ident.to_string()) {
                let variants = item.variants.iter();
                found.push(Reasons {
                    krate: source.krate.clone(),
                    module: source.module.clone(),
                    name: item.ident.to_string(),
                    variants: variants.map(|variant| variant.ident.to_string()).collect(),
                });
            }
        }
    }
    assert!(found.len() > 15, "the errors are somewhere else: {found:?}");
    found
}
