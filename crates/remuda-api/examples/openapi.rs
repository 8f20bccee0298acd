//! Prints the `OpenAPI` document of the API, for generators of clients.
#![expect(clippy::print_stdout, reason = "the document is the output")]

fn main() {
    println!("{}", remuda_api::openapi::json());
}
