import ArgumentParser
import Scorefield
import ScorefieldImages

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Train a denoiser of real digits and the trace of its Fisher, and ask how likely digits are.",
    discussion: """
      About two minutes of training on two cores the first time; the network stays in the folder and is used again. Then held-out, \
      damaged and generated digits are ranked by bits per dimension, every way to the trace is compared with the exact field, and \
      the exact field itself is asked.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: "The folder that holds digits.npy.")
  var data = "Data"

  @Option(help: "The folder for report.html, the pictures and the network; made where it is not there.")
  var out = "demo"

  @Flag(help: "Train for seconds only: the numbers are worse.")
  var quick = false

  mutating func run() throws {
    let type = try common.validated()
    let files = try DigitSet.Files(in: data, labelled: false)
    if mkdir(out, 0o777) != 0, errno != EEXIST {
      throw Failure(.cannotWrite, out, "cannot be made (\(String(cString: strerror(errno))))", repair: "check the path")
    }
    try ArrayOutput.checkWritable("\(out)/report.html")

    try common.start()
    let clock = ContinuousClock()
    let start = clock.now
    let digits = try DigitSet(files, heldOut: 100, seed: common.seed)
    let training = try KeptTraining(
      on: digits, budget: DigitModel.Budget(steps: quick ? 20 : 2400, batch: quick ? 32 : 128), seed: common.seed,
      in: "\(out)/model")
    let learned = LearnedDemo(digits: digits, model: training.model, seed: common.seed)
    let ranking = learned.ranking()
    let estimators = learned.estimate(points: quick ? 4 : 16, likelihoods: quick ? 2 : 8)
    let demo = DigitsDemo(digits, type: type ?? .float64, seed: common.seed)
    let levels = demo.noiseLevels()
    let rankings = demo.rankings()
    let bends = demo.eigenvectors()
    let seconds = (clock.now - start).seconds

    let report = DemoReport(
      training: training.figures, ranking: ranking, estimators: estimators, demo: demo, levels: levels,
      rankings: rankings, eigenvectors: bends)
    let picture = "\(out)/overview.png"
    try OutputFile.write([
      report.page().file("\(out)/report.html"),
      OutputFile([try PNG.encode(report.overview(), name: picture)], picture),
    ])
    if common.json {
      let evaluations = training.figures.isReused ? 0 : training.figures.steps
      try Terminal.answer(
        try Report(
          body: report.figures, seconds: seconds,
          networkEvaluations: evaluations + learned.counter.count + demo.counter.count
        ).json())
    } else {
      try Terminal.answer(report.words)
      try Terminal.answer("\(out)/report.html has the pictures (\(fixed(seconds, 1)) s of computing)")
    }
  }
}
