import ArgumentParser

/// The papers' tables and figures, with their numbers beside ours.
struct ReproduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reproduce", abstract: "A table or figure of the papers: their numbers, ours, and how they were had.",
    subcommands: [
      Table1Command.self, Table2Command.self, Table3Command.self, Figure1Command.self, Figure2Command.self,
      Figure3Command.self,
    ])
}

/// What every reproduction understands.
struct ReproduceOptions: ParsableArguments {
  @Flag(help: "Spend a tenth of the time; the numbers are worse, and say so.")
  var quick = false

  @Option(help: "The folder for the report (.html), the table (.csv) and the figures (.json).")
  var out: String?
}

/// What the figures of digits understand beside it.
struct ReproduceDigits: ParsableArguments {
  @Option(help: "The folder that holds digits.npy and digits-labels.npy.")
  var data = "Data"

  @Option(help: "Steps of training (default: 2400, and 600 with --quick).")
  var steps: Int?

  @Option(help: "Samples of each class.")
  var samples: Int?

  func check(atLeast minimum: Int) throws(Failure) {
    guard steps.map({ $0 > 0 && $0 <= 1_000_000 }) ?? true else {
      throw .option("--steps", "\(steps ?? 0) is no count of steps", repair: "give a number from 1 to 1000000")
    }
    guard samples.map({ $0 >= minimum && $0 <= 10_000 }) ?? true else {
      throw .option(
        "--samples", "\(samples ?? 0) samples are too few or too many", repair: "give a number from \(minimum) to 10000"
      )
    }
  }

  func training(quick: Bool) -> DigitModel.Budget {
    DigitModel.Budget(steps: steps ?? (quick ? 600 : 2400), batch: 128)
  }
}
