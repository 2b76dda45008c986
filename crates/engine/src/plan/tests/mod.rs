mod fakes;
mod pure;
mod shell;
