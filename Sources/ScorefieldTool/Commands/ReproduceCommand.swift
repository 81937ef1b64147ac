import ArgumentParser

/// The papers' tables and figures, with their numbers beside ours.
struct ReproduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reproduce", abstract: "A table or figure of the papers: their numbers, ours, and how they were had.",
    subcommands: [Table2Command.self])
}

/// What every reproduction understands.
struct ReproduceOptions: ParsableArguments {
  @Flag(help: "Spend a tenth of the time; the numbers are worse, and say so.")
  var quick = false

  @Option(help: "The folder for the report (.html), the table (.csv) and the figures (.json).")
  var out: String?
}
