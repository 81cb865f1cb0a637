//! The keys of `adapter_model.safetensors`.

use super::select::Selection;
use crate::model::{Head, Spec, split_path};

pub(super) const PREFIX: &str = "base_model.model.";

/// The parameters whose size follows the vocabulary.
pub(super) const VOCABULARY: [&str; 3] = ["embedding.weight", "head.weight", "masked.bias"];

/// The name of the parameter at one of our paths: the Hugging Face key, or PEFT's key for a part of an adapter.
pub fn parameter_name(spec: &Spec, path: &str) -> String {
    let Some((module, part)) = path.rsplit_once(".adapter.") else {
        return spec.stored_as(path).key;
    };
    let name = match (part, module) {
        ("magnitude", _) => "lora_magnitude_vector".to_string(),
        (part, "embedding") => format!("lora_embedding_{}", part.to_uppercase()),
        (part, _) => format!("lora_{}.weight", part.to_uppercase()),
    };
    format!("{PREFIX}{}.{name}", spec.module_name(module))
}

/// Whether the parameter at `path` is stored in full.
pub(super) fn stored_whole(spec: &Spec, selection: &Selection<'_>, path: &str) -> bool {
    let (module, _) = split_path(path);
    !path.contains(".adapter.")
        && (selection.saves(&spec.module_name(module)) || selection.stores(path))
}

/// The keys under which a parameter stored in full may be found: its own, that of a base below an adapter, and those of
/// tied copies. `own_head` says whether the model's head is a parameter of its own.
pub(super) struct WholeKeys {
    /// The key of the parameter itself.
    pub(super) own: String,
    /// The key that PEFT writes when the parameter has an adapter as well.
    pub(super) base_layer: Option<String>,
    /// Keys of tied copies.
    pub(super) copies: Vec<String>,
}

impl WholeKeys {
    pub(super) fn new(spec: &Spec, path: &str, own_head: bool) -> Self {
        let own = format!("{PREFIX}{}", spec.stored_as(path).key);
        let (module, parameter) = split_path(path);
        let base_layer = (path == "embedding.weight")
            .then(|| format!("{PREFIX}{}.base_layer.{parameter}", spec.module_name(module)));
        let tied = VOCABULARY.contains(&path) && spec.head == Head::Language && !own_head;
        // PEFT stores the head beside the embedding, but not the further names of the embedding inside a T5.
        let copies =
            spec.names().copies.iter().filter(|(key, original)| {
                tied && *original == path && !key.contains("embed_tokens")
            });
        let copies = copies.map(|(key, _)| format!("{PREFIX}{key}")).collect();
        Self { own, base_layer, copies }
    }

    /// The keys to write for a parameter of the vocabulary; `adapted`: the embedding has an adapter as well. BERT's bias of
    /// masked tokens is stored under the name of its copy alone.
    pub(super) fn written(self, adapted: bool) -> Vec<String> {
        match self.base_layer {
            Some(base_layer) if adapted => vec![base_layer],
            Some(_) => [vec![self.own], self.copies].concat(),
            None if self.copies.is_empty() => vec![self.own],
            None => self.copies,
        }
    }
}

/// Whether the parameter's size follows the vocabulary.
pub(super) fn of_vocabulary(path: &str) -> bool {
    VOCABULARY.contains(&path)
}
