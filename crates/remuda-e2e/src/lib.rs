//! A laboratory for tests: nodes as real processes of the real binary, each with a directory of its
//! own, on loopback or in network namespaces, killed for real.

pub mod attack;
pub mod faults;
pub mod linear;

mod binary;
mod clock;
mod copying;
mod image;
mod inside;
mod lab;
mod lan;
mod mount;
mod name_server;
mod network;
mod node;
mod place;
mod processes;
mod wait;
mod work;

pub use binary::{Finished, example, finish, remuda, run};
pub use clock::wrong_clock;
pub use copying::{Copying, random_file};
pub use image::Image;
pub use inside::Inside;
pub use lab::Lab;
pub use lan::{Lan, in_private_network};
pub use mount::SmallDisk;
pub use name_server::NameServer;
pub use network::{Namespace, pair};
pub use node::Node;
pub use place::Place;
pub use processes::{count_files, mentioning, processes};
pub use wait::{PATIENCE, eventually, within};
pub use work::{command, detach, exec, id, info, whole_output};
