//! Paths below other paths, by whole components (`pmatch`).

use super::glob::glob_matches;

/// A tree of the components of paths. Each node is visited at most once, because its depth fixes the component that
/// it is compared with.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathSet {
    /// A path ends here: everything below matches.
    ends: bool,
    /// Components without wildcards, sorted.
    literals: Vec<(Box<[u8]>, Self)>,
    /// Components with wildcards.
    globs: Vec<(Box<[u8]>, Self)>,
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    path.split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
}

fn is_glob(component: &[u8]) -> bool {
    component.iter().any(|byte| matches!(byte, b'?' | b'*' | b'['))
}

impl PathSet {
    pub(super) fn new(paths: &[Vec<u8>]) -> Self {
        let mut root = Self::default();
        // An empty path names nothing; it must not match as `/` does, which everything is below.
        for path in paths.iter().filter(|path| !path.is_empty()) {
            let mut node = &mut root;
            for component in components(path) {
                node = node.child(component);
            }
            node.ends = true;
        }
        root
    }

    fn child(&mut self, component: &[u8]) -> &mut Self {
        let children = if is_glob(component) {
            &mut self.globs
        } else {
            &mut self.literals
        };
        let at = match children.binary_search_by(|(known, _)| known.as_ref().cmp(component)) {
            Ok(at) => at,
            Err(at) => {
                children.insert(at, (component.into(), Self::default()));
                at
            }
        };
        &mut children[at].1
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.matches_components(components(path))
    }

    fn matches_components<'a>(&self, mut rest: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
        if self.ends {
            return true;
        }
        let Some(component) = rest.next() else {
            return false;
        };
        let literal = self
            .literals
            .binary_search_by(|(known, _)| known.as_ref().cmp(component))
            .ok();
        literal.is_some_and(|at| self.literals[at].1.matches_components(rest.clone()))
            || self.globs.iter().any(|(pattern, child)| {
                glob_matches(pattern, component, false) && child.matches_components(rest.clone())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_components_match() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["/etc"], "/etc", true),
            (&["/etc"], "/etc/x", true),
            (&["/etc"], "/etcx", false),
            (&["/etc/"], "/etc//x", true),
            (&["/etc/x"], "/etc", false),
            (&["/opt/*/x", "/opt/a/y"], "/opt/a/x/z", true),
            (&["/opt/*/x", "/opt/a/y"], "/opt/a/y", true),
            (&["/opt/*/x", "/opt/a/y"], "/opt/b/y", false),
            (&["/"], "/anything", true),
            (&[""], "/anything", false),
            (&["<NA>"], "<NA>", true),
        ];
        for (paths, path, expected) in cases {
            let set = PathSet::new(
                &paths
                    .iter()
                    .map(|path| path.as_bytes().to_vec())
                    .collect::<Vec<_>>(),
            );
            assert_eq!(set.matches(path.as_bytes()), *expected, "{paths:?} {path}");
        }
    }
}
