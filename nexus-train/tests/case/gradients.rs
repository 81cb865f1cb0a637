//! Gradients by parameter name, compared with those of the reference.

use super::Case;
use burn::module::{ModuleVisitor, Param};
use burn::tensor::Tensor;
use nexus_core::adapter::parameter_name;
use nexus_core::model::{Model, Spec};

/// Relative to the largest gradient of the parameter; f32 on both sides.
const GRADIENT: f32 = 1e-4;

/// The gradient of one parameter.
pub struct Gradient {
    pub name: String,
    values: Vec<f32>,
    shape: Vec<usize>,
}

struct Collect<'a> {
    spec: &'a Spec,
    path: Vec<String>,
    gradients: burn::tensor::Gradients,
    found: Vec<Gradient>,
    untouched: Vec<String>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = parameter_name(self.spec, &self.path.join("."));
        match param.val().grad(&self.gradients) {
            Some(gradient) => {
                let shape = gradient.dims().to_vec();
                let values = gradient.into_data().iter::<f32>().collect();
                self.found.push(Gradient { name, values, shape });
            }
            None => self.untouched.push(name),
        }
    }
}

/// Every gradient of `loss`, and the names of the parameters without one.
pub fn collect(model: &impl Model, loss: &Tensor<1>) -> (Vec<Gradient>, Vec<String>) {
    let spec = model.spec().clone();
    let (gradients, path) = (loss.backward(), Vec::new());
    let mut collect =
        Collect { spec: &spec, path, gradients, found: Vec::new(), untouched: Vec::new() };
    model.visit(&mut collect);
    (collect.found, collect.untouched)
}

/// Compares with the reference, which holds some matrices transposed.
pub fn assert_equal(case: &mut Case, found: Vec<Gradient>, prefix: &str, what: &str) {
    for Gradient { name, values: ours, shape } in found {
        let key = case.gradient_key(prefix, &name);
        let (theirs, their_shape) = case.expect.read_f32(&key).unwrap();
        // Square matrices carry no hint in their shape, so both orders are tried there.
        let straight = shape == their_shape;
        let error = |transposed: bool| {
            let at = |i: usize| match (transposed, &shape[..]) {
                (true, &[rows, columns]) => theirs[(i % columns) * rows + i / columns],
                _ => theirs[i],
            };
            let largest = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let worst = (0..ours.len()).map(|i| (ours[i] - at(i)).abs()).fold(0.0, f32::max);
            // GPT-2's key bias has no gradient at all but rounding, about 1e-8.
            worst / largest.max(1e-3)
        };
        let transposable = shape.iter().rev().eq(their_shape.iter()) && shape.len() == 2;
        assert!(straight || transposable, "{what}: {name}: {shape:?} and {their_shape:?}");
        let mut best = f32::INFINITY;
        if straight {
            best = best.min(error(false));
        }
        if transposable {
            best = best.min(error(true));
        }
        assert!(best < GRADIENT, "{what}: gradient of {name} is off by {best}");
    }
}
