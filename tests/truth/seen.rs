//! What tests name.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::{Reasons, Source};

/// Every variant that some test names.
pub(crate) fn in_tests(sources: &[Source], all: &[Reasons]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for source in sources {
        let mut tokens = source.tokens.clone();
        if !source.is_test {
            tokens = test_tokens(tokens);
        }
        let mut named = Vec::new();
        paths(tokens, &mut named);
        for path in named {
            let Some((variant, path)) = path.split_last() else {
                continue;
            };
            let enums = source.resolve(path, all);
            let enums = enums.iter().filter(|e| e.variants.contains(variant));
            seen.extend(enums.map(|reasons| reasons.shown(variant)));
        }
    }
    seen
}
/// Every path in a stream of tokens, macros and all.
fn paths(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    found.extend((path.len() > 1).then(|| std::mem::take(&mut path)));
                    path.clear();
                }
                path.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                colons = 0;
                paths(group.stream(), found);
            }
            _ => colons = 0,
        }
    }
    found.extend((path.len() > 1).then_some(path));
}

/// The tokens of a file that belong to tests: all of a test, and test modules.
fn test_tokens(tokens: TokenStream) -> TokenStream {
    let mut found = TokenStream::new();
    let mut marked = false;
    for token in tokens {
        if let TokenTree::Group(group) = token {
            let inside = group.stream();
            match group.delimiter() {
                Delimiter::Bracket => marked |= inside.to_string().starts_with("cfg (test)"),
                Delimiter::Brace => {
                    let tests = if marked { inside } else { test_tokens(inside) };
                    found.extend(tests);
                    marked = false;
                }
                _ => {}
            }
        }
    }
    found
}
