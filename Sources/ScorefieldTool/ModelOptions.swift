import ArgumentParser

/// Which model a command asks, and how its data become noise.
struct ModelOptions: ParsableArguments {
  @Option(help: "The model: a data set (.npy, .csv, a folder of PNGs) or a mixture of Gaussians (.json).")
  var model: String

  @Option(help: "The noise schedule: \(ScheduleInput.names.joined(separator: ", ")); with :key=value,….")
  var schedule: String
}
