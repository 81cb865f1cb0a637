//! What Nexus trains and saves loads in transformers and PEFT with the same logits, its tokenizers give the same ids.
//!
//! Needs a Python with both: `.venv` at the workspace root, or the one that NEXUS_PYTHON names.

#[path = "../case/mod.rs"]
mod case;
mod comparison;
mod folders;
mod outputs;
mod python;
mod tokenizers;
mod trained;
