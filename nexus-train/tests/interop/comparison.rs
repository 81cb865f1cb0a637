//! Models and adapters in a folder, with what Nexus computes with them, for check.py to compare.

use crate::case::{Case, device};
use crate::outputs::{Fields, Inputs, Outputs};
use nexus_core::adapter::save_adapter;
use nexus_core::weights::{OwnedTensor, SaveOptions, StoredDtype, load, save, write_tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One case: `FOLDER/case.json`, `FOLDER/tensors.safetensors` and a folder per model or adapter.
pub(crate) struct Comparison {
    folder: PathBuf,
    /// The class of transformers that loads the models.
    class: &'static str,
    pub(crate) inputs: Inputs,
    variants: Vec<Value>,
    tensors: BTreeMap<String, OwnedTensor>,
}

impl Comparison {
    /// The models of this comparison are loaded by `class` and see the batch of the golden case.
    pub(crate) fn new(root: &Path, name: &str, class: &'static str, case: &mut Case) -> Self {
        let inputs = Inputs::of(case);
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let tensors = inputs.owned().collect();
        Self { folder, class, inputs, variants: Vec::new(), tensors }
    }

    /// Saves a model and compares what it computes; where it is saved in fewer bits, what the saved one computes.
    pub(crate) fn model<M: Outputs>(
        &mut self,
        name: &str,
        model: &M,
        options: impl Into<SaveOptions>,
    ) -> PathBuf {
        let folder = self.part(name);
        let options = options.into();
        save(model, &folder, options).unwrap();
        let fields = match options.dtype {
            StoredDtype::F32 => model.outputs(&self.inputs),
            StoredDtype::Bf16 => load::<M>(&folder, &device()).unwrap().outputs(&self.inputs),
        };
        self.variant(json!({"name": name, "model": name}), fields);
        folder
    }

    /// Names a token that pads, one that no row has, for folders whose `config.json` names none.
    pub(crate) fn pad(&mut self) {
        let rows = &self.inputs.examples;
        let id = (0..).find(|id| !rows.iter().any(|row| row.ids.contains(id))).unwrap_or(0);
        self.variants.iter_mut().for_each(|variant| variant["pad"] = id.into());
    }

    /// Expects that the folder of the last model lacks the parameters that begin with `prefix`.
    pub(crate) fn lacks(&mut self, prefix: &str) {
        self.variants.last_mut().unwrap()["lacks"] = prefix.into();
    }

    /// Saves the adapter of a model, and compares what it computes on the model that is called `base`.
    pub(crate) fn adapter<M: Outputs>(&mut self, name: &str, model: &M) {
        save_adapter(model, "base", &self.part(name)).unwrap();
        let variant = json!({"name": name, "model": "base", "adapter": name});
        self.variant(variant, model.outputs(&self.inputs));
    }

    fn part(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    fn variant(&mut self, variant: Value, fields: Fields) {
        let name = variant["name"].as_str().unwrap();
        for (field, tensor) in fields {
            self.tensors.insert(format!("{name}.{field}"), tensor);
        }
        self.variants.push(variant);
    }

    /// Writes what check.py reads.
    pub(crate) fn write(self) {
        let case = json!({"class": self.class, "variants": self.variants});
        std::fs::write(self.folder.join("case.json"), case.to_string()).unwrap();
        write_tensors(&self.folder.join("tensors.safetensors"), &self.tensors).unwrap();
    }
}
