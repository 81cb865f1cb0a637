//! The key map of a family: our module paths and those of its Hugging Face classes.

/// Our path and theirs.
pub(super) type Pair = (&'static str, &'static str);

/// The key map of a family under one kind of head.
#[derive(Debug)]
pub(crate) struct Names {
    /// Stands before the modules of the bare model when it has a head.
    pub(super) prefix: &'static str,
    /// The stacks of blocks.
    pub(super) stacks: &'static [Stack],
    /// Other modules of the bare model.
    pub(super) base: &'static [Pair],
    /// Modules of the heads.
    pub(super) heads: &'static [Pair],
    /// Whether projections inside blocks are stored `[inputs, outputs]`.
    pub(super) conv1d: bool,
    /// Keys that hold no parameter (buffers of older versions), by their ending.
    pub(crate) buffers: &'static [&'static str],
    /// Keys that may hold a copy of one of our parameters, which is tied.
    pub(crate) copies: &'static [Pair],
    /// How keys of heads begin: they are skipped when another head is asked for.
    pub(crate) head_keys: &'static [&'static str],
}

/// A stack of equal blocks.
#[derive(Debug)]
pub(super) struct Stack {
    /// Our path and theirs, before the index of the block.
    pub(super) path: Pair,
    /// The modules inside a block.
    pub(super) modules: &'static [&'static [Pair]],
}

impl Names {
    /// Their path of our module; with a head, the bare model's modules have the prefix.
    pub(super) fn module(&self, module: &str, has_head: bool) -> String {
        let prefix = if has_head { self.prefix } else { "" };
        for Stack { path: (ours, theirs), modules } in self.stacks {
            let inner = module.strip_prefix(ours).and_then(|rest| rest.strip_prefix('.'));
            if let Some((index, inner)) = inner.and_then(|rest| rest.split_once('.')) {
                let found = modules.iter().find_map(|modules| lookup(modules, inner));
                return format!("{prefix}{theirs}.{index}.{}", found.unwrap_or(inner));
            }
        }
        match (lookup(self.base, module), lookup(self.heads, module)) {
            (Some(theirs), _) => format!("{prefix}{theirs}"),
            (None, Some(theirs)) => theirs.to_string(),
            (None, None) => module.to_string(),
        }
    }

    /// The other ways in which older or barer files spell a key.
    pub(crate) fn spellings(&self, key: &str) -> [Option<String>; 2] {
        let bare = key.strip_prefix(self.prefix).map(str::to_string);
        [bare, Some(format!("{}{key}", self.prefix))]
    }
}

fn lookup<'a>(names: &'a [Pair], name: &str) -> Option<&'a str> {
    names.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs)
}
