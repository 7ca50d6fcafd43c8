//! What is public has room to grow: an enum or a struct of public fields is
//! non-exhaustive, or there is a reason why it never says more.

use std::collections::BTreeSet;

use syn::{Attribute, Fields, Item, UseTree, Visibility};

use crate::source::{self, Source};

/// What is closed by nature.
const CLOSED: &[(&str, &str)] = &[
    ("Side", "a connection has two ends"),
    ("Dir", "QUIC has one bit for it"),
    ("End", "something follows, or nothing"),
    ("ReadState", "a stream is read in order"),
    ("Ecn", "the field has two bits"),
    ("Way", "in or out"),
    ("Blocked", "a stream that may not begin waits, or does not"),
    ("Part", "a capsule is a type, a length and a value"),
    ("RawCapsule", "the same, held in memory"),
    ("Reset", "a frame has its four fields"),
    ("Verdict", "a fuzz target knows what becomes of each"),
    ("Field", "a line of QPACK is a name, a value and a bit"),
    ("Text", "a string of QPACK has one bit for it"),
    ("Identity", "a chain and its key, made by whoever has them"),
    ("Host", "a target is a name or an address of either family"),
    ("Target", "a host and a port"),
    (
        "Judged",
        "a request is a tunnel's or not, and that is let in or not",
    ),
    ("Asked", "the same, of the handles"),
    ("Payload", "a context is known, unknown or missing"),
    ("UdpPart", "a capsule is a datagram's or not"),
    ("TcpPart", "bytes, or their end"),
    ("TunnelRead", "bytes, their end, or nothing yet"),
    ("Cancelled", "a start is pending, over or unknown"),
    ("Seen", "who keeps secrets has to know all that can be seen"),
];

/// Names that the core takes out of its codecs, which are no part of its promise.
fn taken(tree: &UseTree, out: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => taken(&path.tree, out),
        UseTree::Group(group) => group.items.iter().for_each(|tree| taken(tree, out)),
        UseTree::Name(name) => _ = out.insert(name.ident.to_string()),
        UseTree::Rename(renamed) => _ = out.insert(renamed.ident.to_string()),
        UseTree::Glob(_) => {}
    }
}

/// Of a file above the codecs: what it gives another path.
fn given(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in &source.file.items {
        if let Item::Use(item) = item
            && matches!(item.vis, Visibility::Public(_))
            && let UseTree::Path(first) = &item.tree
            && let UseTree::Path(second) = &*first.tree
            && first.ident == "crate"
            && second.ident == "wire"
        {
            taken(&second.tree, &mut names);
        }
    }
    names
}

/// The name of an item that users can match or write down whole.
fn open(item: &Item) -> Option<String> {
    let is_marked = |attrs: &[Attribute]| attrs.iter().any(|a| a.path().is_ident("non_exhaustive"));
    let is_public = |vis: &Visibility| matches!(vis, Visibility::Public(_));
    match item {
        Item::Enum(item) if is_public(&item.vis) && !is_marked(&item.attrs) => {
            Some(item.ident.to_string())
        }
        Item::Struct(item) if is_public(&item.vis) && !is_marked(&item.attrs) => {
            let Fields::Named(fields) = &item.fields else {
                return None;
            };
            let whole = fields.named.iter().all(|field| is_public(&field.vis));
            whole.then(|| item.ident.to_string())
        }
        _ => None,
    }
}

#[test]
fn what_is_public_can_grow() {
    let sources = source::all();
    let sources: Vec<_> = sources.iter().filter(|source| !source.is_test).collect();
    let is_in = |source: &Source, module: &str| source.module.first().is_some_and(|m| m == module);
    let taken: BTreeSet<_> = sources.iter().flat_map(|source| given(source)).collect();
    assert!(taken.contains("Settings"), "{taken:?}");
    let mut found = BTreeSet::new();
    for source in sources.iter().filter(|source| !is_in(source, "testing")) {
        let names = source.file.items.iter().filter_map(open);
        found.extend(names.filter(|name| !is_in(source, "wire") || taken.contains(name)));
    }
    let closed: BTreeSet<_> = CLOSED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, closed, "left: without `#[non_exhaustive]`");
}
