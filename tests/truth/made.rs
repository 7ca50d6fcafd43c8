//! What code that is no test makes.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Item, Token};

use crate::ECHOES;
use crate::source::{Reasons, Source};

/// What is made: by a conversion alone only if a test has seen that somebody calls it.
pub(crate) fn anywhere(
    sources: &[Source],
    all: &[Reasons],
    seen: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut found = Made::default();
    for source in sources.iter().filter(|source| !source.is_test) {
        let mut walk = Constructed {
            source,
            all,
            own: Vec::new(),
            converts: false,
            found,
        };
        walk.visit_file(&source.file);
        found = walk.found;
    }
    let converted = found.converted.intersection(seen).cloned();
    converted.chain(found.directly).collect()
}

/// Walks the code of one file that is no test, for what it constructs.
struct Constructed<'a> {
    source: &'a Source,
    all: &'a [Reasons],
    /// What `Self` means.
    own: Vec<String>,
    /// Inside a conversion from another error.
    converts: bool,
    found: Made,
}

/// What the sources make.
#[derive(Default)]
struct Made {
    directly: BTreeSet<String>,
    /// By conversions, which `?` calls or nobody.
    converted: BTreeSet<String>,
}

impl Constructed<'_> {
    /// Goes through the rules of a macro that make items.
    fn rules(&mut self, tokens: TokenStream) {
        for token in tokens {
            if let TokenTree::Group(group) = token
                && group.delimiter() == Delimiter::Brace
                && let Ok(file) = syn::parse2::<syn::File>(plain(group.stream()))
            {
                self.visit_file(&file);
            }
        }
    }

    fn path(&mut self, names: &[String]) {
        let Some((variant, names)) = names.split_last() else {
            return;
        };
        let names = match names.first() {
            Some(first) if first == "Self" => &self.own,
            _ => names,
        };
        for reasons in self.source.resolve(names, self.all) {
            let here = part(&self.source.krate, &self.source.module);
            let echoed = ECHOES.contains(&here) && here != part(&reasons.krate, &reasons.module);
            if !echoed && reasons.variants.contains(variant) {
                let found = if self.converts {
                    &mut self.found.converted
                } else {
                    &mut self.found.directly
                };
                found.insert(reasons.shown(variant));
            }
        }
    }
}

/// What a rule of a macro makes of itself, with its variables as plain names.
fn plain(tokens: TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().filter_map(|token| match token {
        TokenTree::Punct(mark) if mark.as_char() == '$' => None,
        TokenTree::Group(group) => {
            let inside = plain(group.stream());
            Some(Group::new(group.delimiter(), inside).into())
        }
        token => Some(token),
    });
    tokens.collect()
}

/// A crate that echoes as a whole, else a module at the top of one.
fn part<'a>(krate: &'a str, module: &'a [String]) -> &'a str {
    if ECHOES.contains(&krate) {
        return krate;
    }
    module.first().map_or("", String::as_str)
}

fn names(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

impl Visit<'_> for Constructed<'_> {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &syn::ItemImpl) {
        let own = match &*item.self_ty {
            syn::Type::Path(own) => &own.path.segments,
            _ => return,
        };
        let own = own.iter().map(|segment| segment.ident.to_string());
        self.own = own.collect();
        let of = item.trait_.as_ref().and_then(|(of, _)| of.segments.last());
        self.converts = of.is_some_and(|of| of.ident == "From");
        visit::visit_item_impl(self, item);
        self.converts = false;
    }

    fn visit_variant(&mut self, variant: &syn::Variant) {
        let mut attributes = variant.fields.iter().flat_map(|field| &field.attrs);
        if attributes.any(|attribute| attribute.path().is_ident("from")) {
            let name = &self.own;
            let name = [name.as_slice(), &[variant.ident.to_string()]].concat();
            self.converts = true;
            self.path(&name);
            self.converts = false;
        }
    }

    fn visit_item_enum(&mut self, item: &syn::ItemEnum) {
        self.own = vec![item.ident.to_string()];
        visit::visit_item_enum(self, item);
    }

    // What is matched against, or compared with, is made elsewhere.
    fn visit_pat(&mut self, _: &syn::Pat) {}

    fn visit_expr_binary(&mut self, binary: &syn::ExprBinary) {
        let compares = matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_));
        for side in [&*binary.left, &*binary.right] {
            if !(compares && matches!(side, Expr::Path(_))) {
                self.visit_expr(side);
            }
        }
    }

    fn visit_expr_path(&mut self, path: &syn::ExprPath) {
        self.path(&names(&path.path));
    }

    fn visit_expr_struct(&mut self, built: &syn::ExprStruct) {
        self.path(&names(&built.path));
        visit::visit_expr_struct(self, built);
    }

    fn visit_macro(&mut self, called: &syn::Macro) {
        if called.path.is_ident("matches") {
            return;
        }
        if called.path.is_ident("macro_rules") {
            return self.rules(called.tokens.clone());
        }
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        if let Ok(arguments) = parser.parse2(called.tokens.clone()) {
            (arguments.iter()).for_each(|argument| self.visit_expr(argument));
        }
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let list = attribute.meta.require_list().ok();
    let tokens = list.filter(|list| list.path.is_ident("cfg"));
    tokens.is_some_and(|list| list.tokens.to_string().contains("test"))
}
