//! All parameters of a module by name.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

/// A parameter of a module.
#[derive(Debug)]
pub struct NamedParameter {
    /// The path of fields and indices, such as `blocks.0.mlp.up.weight`.
    pub path: String,
    /// burn's identity of the parameter.
    pub id: ParamId,
    /// The shape.
    pub shape: Vec<usize>,
    /// Whether training changes it; known on an autodiff device only.
    pub trainable: bool,
    read: Read,
}

#[derive(Debug)]
enum Read {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    /// No module of this crate holds such a parameter.
    Other,
}

impl NamedParameter {
    /// The values, read from the device.
    pub fn data(&self) -> TensorData {
        match &self.read {
            Read::Vector(tensor) => tensor.to_data(),
            Read::Matrix(tensor) => tensor.to_data(),
            Read::Other => TensorData::new(Vec::<f32>::new(), [0]),
        }
    }

    /// The tensor itself, its values side by side; shared, not copied.
    pub(crate) fn flat(&self) -> Option<Tensor<1>> {
        match &self.read {
            Read::Vector(tensor) => Some(tensor.clone()),
            Read::Matrix(tensor) => {
                Some(tensor.clone().reshape([tensor.dims()[0] * tensor.dims()[1]]))
            }
            Read::Other => None,
        }
    }

    /// The values as f32, row major.
    pub fn values(&self) -> Vec<f32> {
        self.data().iter::<f32>().collect()
    }
}

/// Lists every float parameter of `module` in the order of its fields. Cheap: values are read only when asked for.
pub fn parameters<M: Module>(module: &M) -> Vec<NamedParameter> {
    let mut collect = Collect { path: Vec::new(), found: Vec::new() };
    module.visit(&mut collect);
    collect.found
}

struct Collect {
    path: Vec<String>,
    found: Vec<NamedParameter>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        let read = match shape[..] {
            [n] => Read::Vector(value.clone().detach().reshape([n])),
            [n, m] => Read::Matrix(value.clone().detach().reshape([n, m])),
            _ => Read::Other,
        };
        self.found.push(NamedParameter {
            path: self.path.join("."),
            id: param.id,
            shape,
            trainable: value.is_require_grad(),
            read,
        });
    }
}
