//! What the example programs share: their common flags, progress bars and how they report errors.
//!
//! Every program prints its result on stdout (one JSON object with `--json`), everything else on stderr, and exits with
//! 0, with 1 after an error, or with 2 when it was called wrongly.

mod answer_args;
mod beam_args;
mod data_file;
mod data_tasks;
mod device_args;
mod http_target;
mod load_args;
mod load_output;
mod model_args;
mod model_folder;
mod problem_arg;
mod progress;
mod report_args;
mod run;
mod sampling_args;
mod scores;
mod stop;
mod task_files;
mod template;
mod train_args;
mod training;

pub use answer_args::AnswerArgs;
pub use beam_args::BeamArgs;
pub use data_file::{ColumnArgs, DataReader, in_memory};
pub use data_tasks::{DataTask, DataTaskArgs, Run};
pub use device_args::DeviceArgs;
pub use http_target::HttpTarget;
pub use load_args::LoadArgs;
pub use load_output::{load_json, load_tables, local_performance, write_load_report};
pub use model_args::ModelArgs;
pub use model_folder::model_folder;
pub use problem_arg::ProblemArg;
pub use progress::progress;
pub use report_args::{Evaluated, ReportArgs};
pub use run::{Failure, run};
pub use sampling_args::SamplingArgs;
pub use scores::{Scores, read_scores};
pub use stop::stop_string;
pub use task_files::TaskFileArgs;
pub use template::with_template;
pub use train_args::TrainArgs;
pub use training::{beside, checkpoint, finish, new_report, observers, save_trained};
