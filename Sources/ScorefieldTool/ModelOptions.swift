import ArgumentParser

/// Which model a command asks, and how its data become noise.
struct ModelOptions: ParsableArguments {
  @Option(
    help: """
      The model: a data set (.npy, .safetensors, .csv, a folder of such shards or of PNGs), a mixture of Gaussians (.json), \
      or the folder of a trained model.
      """)
  var model: String

  @Option(
    help: """
      The noise schedule: \(ScheduleInput.names.joined(separator: ", ")); with :key=value,… A trained model brings its own.
      """)
  var schedule: String?

  @Option(
    name: .customLong("class"),
    help: "The class of the samples, for a model that knows classes; of the data, for a data set with --labels.")
  var label: Int?

  @Option(help: "The name of the array, for a data set in .safetensors files that hold several.")
  var array: String?

  @Option(help: "The weights of a data set's rows, shape [N] (.npy).")
  var weights: String?

  @Option(help: "The classes of a data set's rows, shape [N] (.npy), for --class.")
  var labels: String?

  @Flag(help: "Read a data set from the disk as it is needed; larger ones than 1 GiB always are.")
  var stream = false

  @Option(
    help: """
      What is known of the samples, for a model that was trained with vectors: shape [1, c], or [B, c] for so many samples \
      (.npy, .csv).
      """)
  var condition: String?
}
