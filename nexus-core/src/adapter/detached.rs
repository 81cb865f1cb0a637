//! An adapter apart from its model.

use super::config::AdapterConfig;
use super::names::stored_whole;
use super::select::Selection;
use super::train::train_matching;
use crate::model::{Adaptable, LowRank, Model, split_path};
use crate::weights::parameters;
use crate::{Error, Result};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An adapter apart from its model: its factors by the path of the module they belong to, and the modules that it
/// replaces.
///
/// Putting it [`on`](Self::on) a clone of the base copies no weight: the clones of a model share their tensors. So one
/// base serves with any number of adapters, and switching is choosing between the models.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub(super) config: Arc<AdapterConfig>,
    pub(super) parts: BTreeMap<String, LowRank>,
    pub(super) whole: BTreeMap<String, Whole>,
    /// The names of the modules of `parts` in Hugging Face's files.
    pub(super) modules: BTreeSet<String>,
}

/// A parameter that is stored in full: its shape, and its values side by side.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) shape: Vec<usize>,
    pub(super) values: Tensor<1>,
}

/// A place of a model that an adapter can attach to.
pub(super) struct Site<'a> {
    /// Our path.
    pub(super) path: String,
    /// The path in Hugging Face's files.
    pub(super) module: String,
    /// Whether it is the embedding.
    pub(super) table: bool,
    /// Its number among all of the model.
    pub(super) salt: u64,
    pub(super) target: &'a mut dyn Adaptable,
}

/// Visits every projection, in the order of the forward pass, and the embedding.
pub(super) fn each_site<M: Model>(
    model: &mut M,
    mut visit: impl FnMut(Site<'_>) -> Result<()>,
) -> Result<()> {
    let spec = Arc::clone(model.spec());
    let mut salt = 0;
    for (path, target) in model.projections_mut() {
        let module = spec.module_name(&path);
        visit(Site { path, module, table: false, salt, target })?;
        salt += 1;
    }
    let (path, module) = ("embedding".to_string(), spec.module_name("embedding"));
    visit(Site { path, module, table: true, salt, target: model.embedding_mut() })
}

impl Adapter {
    /// The adapter that is attached to a model; the two share their tensors.
    ///
    /// # Errors
    /// [`Error::Adapter`] when none is attached.
    pub fn of<M: Model>(model: &M) -> Result<Self> {
        let Some(config) = model.adapter().cloned() else {
            return Err(Error::Adapter { why: "none is attached".into() });
        };
        let (mut parts, mut modules) = (BTreeMap::new(), BTreeSet::new());
        let mut model = model.clone();
        each_site(&mut model, |site| {
            if let Some(part) = site.target.adapter() {
                parts.insert(site.path, part.clone());
                modules.insert(site.module);
            }
            Ok(())
        })?;
        let selection = Selection::new(&config)?;
        let spec = Arc::clone(model.spec());
        let mut whole = BTreeMap::new();
        for parameter in parameters(&model) {
            if stored_whole(&spec, &selection, &parameter.path)
                && let Some(values) = parameter.flat()
            {
                let shape = parameter.shape.clone();
                whole.insert(parameter.path, Whole { shape, values });
            }
        }
        Ok(Self { config: Arc::new(config), parts, whole, modules })
    }

    /// Its configuration.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// The base with this adapter attached: the base frozen, the adapter and the modules that it replaces trainable.
    ///
    /// # Errors
    /// [`Error::Adapter`] when one is attached already, or when this one was made for a base of another shape; it names
    /// the module.
    pub fn on<M: Model>(&self, base: M) -> Result<M> {
        if base.adapter().is_some() {
            return Err(Error::Adapter {
                why: "the model has one already; merge it or take it off first".into(),
            });
        }
        let selection = Selection::new(&self.config)?;
        let mut model = base.no_grad();
        let mut left = self.parts.len();
        each_site(&mut model, |site| {
            let Some(part) = self.parts.get(&site.path) else { return Ok(()) };
            if part.dims() != site.target.dims() {
                return Err(other_shape(&site.module, &part.dims(), &site.target.dims()));
            }
            site.target.attach(part.clone().set_require_grad(true));
            left -= 1;
            Ok(())
        })?;
        if left > 0 {
            let why = format!("{left} of its modules are not in this model; it has another base");
            return Err(Error::Adapter { why });
        }
        if !self.whole.is_empty() {
            let mut put = Put { path: Vec::new(), whole: self.whole.clone(), clash: None };
            model = model.map(&mut put);
            if let Some(clash) = put.clash {
                return Err(clash);
            }
            if let Some(path) = put.whole.keys().next() {
                let why = format!("it replaces {path}, which is not in this model");
                return Err(Error::Adapter { why });
            }
        }
        let mut model = train_matching(model, |module| selection.saves(module));
        model.set_adapter(Some(Arc::clone(&self.config)));
        Ok(model)
    }
}

fn other_shape(module: &str, adapter: &[usize], base: &[usize]) -> Error {
    Error::Adapter {
        why: format!("{module}: made for a weight of {adapter:?}, the model has {base:?}"),
    }
}

/// Replaces parameters by path.
struct Put {
    path: Vec<String>,
    whole: BTreeMap<String, Whole>,
    clash: Option<Error>,
}

impl ModuleMapper for Put {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(Whole { shape, values }) = self.whole.remove(&path) else { return param };
        let old = param.val();
        if shape != old.dims() {
            let (module, _) = split_path(&path);
            self.clash = Some(other_shape(module, &shape, &old.dims()));
            return param;
        }
        let trainable = old.is_require_grad();
        param.map(|_| {
            let shape: [usize; D] = old.dims();
            values.reshape(shape).set_require_grad(trainable)
        })
    }
}
