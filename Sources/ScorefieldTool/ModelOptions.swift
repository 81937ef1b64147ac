import ArgumentParser

/// Which model a command asks, and how its data become noise.
struct ModelOptions: ParsableArguments {
  @Option(
    help: """
      The model: a data set (.npy, .csv, a folder of PNGs), a mixture of Gaussians (.json), or the folder of a trained \
      model.
      """)
  var model: String

  @Option(
    help: """
      The noise schedule: \(ScheduleInput.names.joined(separator: ", ")); with :key=value,… A trained model brings its own.
      """)
  var schedule: String?

  @Option(name: .customLong("class"), help: "The class of the samples, for a model that knows classes.")
  var label: Int?

  @Option(
    help: """
      What is known of the samples, for a model that was trained with vectors: shape [1, c], or [B, c] for so many samples \
      (.npy, .csv).
      """)
  var condition: String?
}
