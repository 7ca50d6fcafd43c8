//! Matching of a path with a template: the way back from an expansion.

use super::TemplateError;
use super::syntax::{Part, Variable, is_unreserved};
use crate::masque::{Target, TargetError};
use crate::uri::decoded;

/// A template, ready to be matched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Matcher {
    /// Texts and simple expressions.
    path: Vec<Part>,
    /// What is between the `&` of the query, in order.
    query: Vec<Group>,
}

/// Parameters of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Group {
    /// One, of texts and simple expressions.
    Item(Vec<Part>),
    /// Those of `{?..}` and `{&..}`, in any order.
    Form(Vec<Variable>),
}

/// The values of the target's variables, as they stand in the path.
#[derive(Default)]
struct Values<'a> {
    host: Option<&'a str>,
    port: Option<&'a str>,
}

impl Matcher {
    pub(super) fn new(parts: &[Part]) -> Result<Self, TemplateError> {
        let mut matcher = Self::default();
        // The parameter that is not over yet; none before the query and behind a form.
        let mut item: Option<Vec<Part>> = None;
        for part in parts {
            match part {
                Part::Text(text) if matcher.query.is_empty() && item.is_none() => {
                    let (path, query) = split(text);
                    push_text(&mut matcher.path, path);
                    if let Some(query) = query {
                        item = Some(Vec::new());
                        matcher.push_query(&mut item, query);
                    }
                }
                Part::Text(text) if item.is_none() => {
                    // Behind a form only another parameter is not part of its last one.
                    let ambiguous = || TemplateError::Ambiguous(text.clone());
                    let text = text.strip_prefix('&').ok_or_else(ambiguous)?;
                    item = Some(Vec::new());
                    matcher.push_query(&mut item, text);
                }
                Part::Text(text) => matcher.push_query(&mut item, text),
                Part::Simple(_) => match &mut item {
                    Some(item) => item.push(part.clone()),
                    None => matcher.path.push(part.clone()),
                },
                Part::Form { variables, .. } => {
                    matcher.query.extend(item.take().map(Group::Item));
                    match matcher.query.last_mut() {
                        Some(Group::Form(form)) => form.extend_from_slice(variables),
                        _ => matcher.query.push(Group::Form(variables.clone())),
                    }
                }
            }
        }
        matcher.query.extend(item.map(Group::Item));
        matcher.check()?;
        Ok(matcher)
    }

    fn push_query(&mut self, item: &mut Option<Vec<Part>>, text: &str) {
        let mut pieces = text.split('&');
        if let (Some(item), Some(first)) = (&mut *item, pieces.next()) {
            push_text(item, first);
        }
        for piece in pieces {
            self.query.extend(item.take().map(Group::Item));
            push_text(item.insert(Vec::new()), piece);
        }
    }

    /// Refuses what could be matched in two ways.
    fn check(&self) -> Result<(), TemplateError> {
        check_pattern(&self.path)?;
        let mut names: Vec<&str> = Vec::new();
        for group in &self.query {
            match group {
                Group::Form(variables) => names.extend(variables.iter().map(Variable::name)),
                Group::Item(parts) => {
                    check_pattern(parts)?;
                    if names.is_empty() {
                        continue;
                    }
                    let name = match parts.as_slice() {
                        [] => "",
                        [Part::Text(text)] => name_of(text),
                        [Part::Text(text), ..] if text.contains('=') => name_of(text),
                        [Part::Text(text), ..] => return Err(ambiguous(text)),
                        _ => return Err(ambiguous("&{")),
                    };
                    if names.contains(&name) {
                        return Err(ambiguous(name));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn matches(&self, path_and_query: &str) -> Option<Result<Target, TargetError>> {
        let (path, query) = split(path_and_query);
        let mut values = Values::default();
        fits(&self.path, path, Some('/'), &mut values)?;
        let mut params = query.map(|query| query.split('&')).into_iter().flatten();
        let mut param = params.next();
        for group in &self.query {
            match group {
                Group::Item(parts) => {
                    fits(parts, param?, None, &mut values)?;
                    param = params.next();
                }
                Group::Form(variables) => {
                    while let Some((variable, value)) = param.and_then(|one| named(one, variables))
                    {
                        values.set(variable, value)?;
                        param = params.next();
                    }
                }
            }
        }
        match (values.host, values.port, param) {
            (Some(host), Some(port), None) => Some(target(host, port)),
            _ => None,
        }
    }
}

fn target(host: &str, port: &str) -> Result<Target, TargetError> {
    // Once: what is still encoded then was encoded twice, and is no host.
    let host = decoded(host).ok_or(TargetError::Encoding)?;
    let port = decoded(port).ok_or(TargetError::Encoding)?;
    Target::from_variables(&host, &port)
}

impl<'a> Values<'a> {
    /// `None` if there is one already.
    fn set(&mut self, variable: &Variable, value: &'a str) -> Option<()> {
        let place = match variable {
            Variable::Host => &mut self.host,
            Variable::Port => &mut self.port,
            Variable::Other(_) => return Some(()),
        };
        match place.replace(value) {
            None => Some(()),
            Some(_) => None,
        }
    }

    /// The values of a simple expression.
    fn set_list(&mut self, variables: &[Variable], value: &'a str) -> Option<()> {
        if let [variable] = variables {
            return self.set(variable, value);
        }
        // A client leaves out what it does not know: all are there, or the target alone.
        let known = variables.iter().filter(|one| one.is_target());
        let count = value.split(',').count();
        if count == variables.len() {
            let mut pairs = variables.iter().zip(value.split(','));
            pairs.try_for_each(|(variable, value)| self.set(variable, value))
        } else if count == known.clone().count() {
            let mut pairs = known.zip(value.split(','));
            pairs.try_for_each(|(variable, value)| self.set(variable, value))
        } else {
            (known.count() == 0).then_some(())
        }
    }
}

/// Whether the text is of this pattern, to its end. No value goes beyond `stop`.
fn fits<'a>(
    parts: &[Part],
    text: &'a str,
    stop: Option<char>,
    values: &mut Values<'a>,
) -> Option<()> {
    let mut rest = text;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            Part::Text(text) => rest = rest.strip_prefix(&**text)?,
            Part::Simple(variables) => {
                let next = match parts.peek() {
                    Some(Part::Text(text)) => text.chars().next(),
                    _ => None,
                };
                let ends = |one: char| Some(one) == stop || Some(one) == next;
                let (value, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                values.set_list(variables, value)?;
                rest = after;
            }
            Part::Form { .. } => return None,
        }
    }
    rest.is_empty().then_some(())
}

/// The variable of a form that has the name of this parameter, and its value.
fn named<'a, 'b>(param: &'a str, variables: &'b [Variable]) -> Option<(&'b Variable, &'a str)> {
    let (name, value) = param.split_once('=')?;
    let variable = variables.iter().find(|one| one.name() == name)?;
    Some((variable, value))
}

fn check_pattern(parts: &[Part]) -> Result<(), TemplateError> {
    for pair in parts.windows(2) {
        let [Part::Simple(variables), Part::Text(text)] = pair else {
            continue;
        };
        let in_value = |byte| is_unreserved(byte) || byte == b'%';
        let in_list = |byte| byte == b',' && variables.len() > 1;
        if text
            .bytes()
            .next()
            .is_some_and(|byte| in_value(byte) || in_list(byte))
        {
            return Err(ambiguous(text));
        }
    }
    Ok(())
}

fn ambiguous(text: &str) -> TemplateError {
    TemplateError::Ambiguous(text.into())
}

fn name_of(param: &str) -> &str {
    param.split_once('=').map_or(param, |(name, _)| name)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
}

/// Path and query.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        None => (text, None),
        Some((path, query)) => (path, Some(query)),
    }
}
