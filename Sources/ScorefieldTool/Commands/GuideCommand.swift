import ArgumentParser
import Scorefield
import Synchronization

struct GuideCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guide", abstract: "Draw samples that are steered by a loss.",
    discussion: """
      Before each guided step the path is followed to its end, the loss is asked there, and its gradient goes back step by step (the \
      adjoint), with products of the Fisher by --method. Two methods pull every guided step by a likelihood instead: dps by that of \
      the estimate, moments with the estimate's spread. Writes samples and loss.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(
    help: """
      The loss: \(LossInput.forms). A target's is the squared distance to it, a class's -log p, a style's the distance of Gram \
      matrices, a reward's -r; .pt files are TorchScript modules.
      """)
  var loss: String

  @Option(help: "The features of style and reward, a TorchScript module: FILE.pt.")
  var features: String?

  @Option(help: "What is seen of a sample: none, inpaint:MASK.npy, downsample:n, blur:width or matrix:FILE.npy.")
  var measurement = "none"

  @Option(help: "How F v is had: \(FisherMethodInput.names.joined(separator: ", ")), or dps or moments.")
  var method = "auto"

  @Option(help: "Data for methods that need some, where the model is none.")
  var data: String?

  @Option(help: "How many steps.")
  var steps = 50

  @Option(name: .customLong("guide-from"), help: "The first guided step, from 0.")
  var guideFrom = 15

  @Option(name: .customLong("guide-to"), help: "The first step that is not guided any more.")
  var guideTo = 35

  @Option(help: "How far a guided step moves the state, in units of the length of its noise.")
  var strength = 0.2

  @Option(name: .customLong("prediction-steps"), help: "Steps that lead to the end.")
  var predictionSteps = 4

  @Option(help: "The standard deviation of what is seen, for dps and moments; 0 for dps alone.")
  var deviation = 0.1

  @Option(
    help:
      "What dps divides by the length of the error where --deviation is 0, in place of 1 by --deviation's square (default: \(Int(standardZeta)))."
  )
  var zeta: Double?

  private static let standardZeta = 100.0

  @Option(help: "The first time (default: the end; edm: 80).")
  var from: Double?

  @Option(help: "The last time (default: 1e-3; edm: 0.002).")
  var to: Double?

  @Option(help: "How many samples to draw.")
  var count: Int?

  @Option(help: "The states at the first time, shape [B, …], in place of noise.")
  var start: String?

  @Option(help: "Where samples and loss go (.safetensors).")
  var out: String?

  private struct Body: Encodable {
    let model, schedule, loss, measurement, method, outcome: String
    let features: String?
    let from, to, strength: Double
    let steps, guideFrom, guideTo, predictionSteps, samples, dimension: Int
    let meanLoss, secondsPerStep: [Double?]
    let meanFinalLoss, deviation, zeta, systemResidual: Double?
    let out: String?
  }

  mutating func run() throws {
    let asked = try common.validated()
    try check()
    let (isPosterior, isMatched) = (method == "dps", method == "moments")
    let given = isPosterior ? nil : try FisherMethodInput(isMatched ? "auto" : method, option: "--method")
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let (from, to) = try TimeEnds(of: schedule.schedule).span(from: from, to: to, on: schedule)
    try TimeEnds.check(from, to, on: schedule.schedule, steps: steps)
    let wanted = try LossInput(loss, features: features, measurement: measurement)
    guard !isPosterior && !isMatched || wanted.isTarget else {
      throw Failure.option(
        "--method", "'\(method)' needs a measurement, and the loss is '\(loss)'", repair: "use target:FILE.npy")
    }
    let states = try start.map { try ArrayInput($0) }
    let reference = try data.map { try ArrayInput($0) }
    let levels = try common.levels(beside: source)
    try source.checkCondition(for: states?.array.shape[0] ?? count)

    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    let type = model.type
    guard !isPosterior || !model.isStreamed else { throw Failure.noDerivatives("--method", method) }
    // A network's own products by default need no gradient: where one is followed, secants; the spread of an estimate is that at the point.
    let isByDefault = given?.isAuto == true && model.field == nil
    let products =
      isByDefault ? isMatched ? .recommended : .secant : try given?.resolved(for: model, option: "--method")
    try states.map(model.accepts)
    try reference.map(model.accepts)
    let points = try reference.map { model.arranged(try $0.data(.float64, levels: levels), of: $0) } ?? model.points
    guard products.map({ !$0.needsData || points != nil }) ?? true else {
      throw Failure.option(
        "--method", "'\(products!.name)' needs a data set and the model is none", repair: "give one with --data")
    }
    var generator = Generator(seed: common.seed)
    let first =
      try states.map { model.arranged(try $0.values(type), of: $0).reshaped([-1] + model.sampleShape) }
      ?? startingNoise([count ?? 1] + model.sampleShape, at: from, on: schedule.schedule, type: type, using: &generator)
    let ready = try wanted.ready(for: model, count: first.batch, levels: levels)

    let clock = ContinuousClock()
    let begin = clock.now
    let counter = EvaluationCounter()
    // What the sampler asked, differences need not ask again.
    let counted = RememberingDenoiser(CountedDenoiser(model.denoiser, counter: counter))
    let progress = Progress("guide", total: guideTo - guideFrom + 1)
    let grid = TimeGrid.uniformHalfLogSNR(steps, over: schedule.schedule, from: from, to: to)
    // The loss is asked once in every guided step.
    var moments = [begin]
    var trouble: ArrayFileError?
    func steered(by fisher: (_ end: PathEnd) -> ErasedProducts) throws(ArrayFileError) -> GuidedSamples {
      try guidedSample(
        counted, from: first, along: grid,
        guidance: AdjointGuidance(
          guided: guideFrom..<guideTo, predictionSteps: predictionSteps, strength: strength),
        fisher: { end in
          trouble = trouble ?? ready.refusal(of: end, atStep: guideFrom + moments.count - 2)
          return fisher(end)
        },
        loss: { (x) throws(ArrayFileError) in
          // Where the data have changed there are no numbers either.
          try model.check()
          if let trouble { throw trouble }
          moments.append(clock.now)
          progress.show(moments.count - 1)
          return try ready.loss(x)
        })
    }
    let found: GuidedSamples
    let settling = Settling()
    func likelihood(_ guided: some Denoiser) throws -> GuidedSamples {
      let steps = GuidedSteps(base: counted, by: guided, between: grid.times[guideTo - 1]...grid.times[guideFrom])
      let run = sample(steps, from: first, along: grid, with: .ddim, finalDenoise: false)
      let end = counted.denoise(run.samples, at: to)
      let outcome = end.isFinite().all() ? run.outcome : .notFinite
      return GuidedSamples(samples: end, losses: try ready.loss(end).expanded(at: 0), outcome: outcome)
    }
    let data = points?.reshaped([-1] + model.sampleShape)
    let recommended = products?.recommendation(for: model, asking: counted, data: data)
    // From the first guided step to the end, where predictions lead.
    let choices = recommended.map { recommended in
      grid.times[guideFrom...].map { "\(recommended.choice(at: $0))" }
        .reduce(into: [String]()) { found, choice in if found.last != choice { found.append(choice) } }
        .joined(separator: ",")
    }
    // ζ is the only strength there is without a deviation.
    let pull = isPosterior && deviation == 0 ? zeta ?? Self.standardZeta : nil
    let own = products?.name ?? method
    let picked = isMatched ? "moments:\(choices ?? own)" : choices.map { "\(own):\($0)" } ?? own
    let erased =
      recommended.map { ErasedProducts($0) }
      ?? products.map {
        ErasedProducts($0.access(of: model, counter: counter, data: reference == nil ? nil : data, seed: common.seed))
      }
    if isPosterior, let (measured, observed) = ready.target {
      found = try likelihood(
        ScoreGuidance.posterior(
          of: counted, measured, observed: observed, deviation: deviation, scale: pull ?? 1))
    } else if isMatched, let (measured, observed) = ready.target {
      found = try likelihood(
        WatchedMoments(
          base: MomentMatchedGuidance(counted, measured, observed: observed, deviation: deviation, fisher: erased!),
          settling: settling))
    } else {
      // The end is known there, and need not be predicted at every node.
      found = try steered { end in
        if let reach = products?.reach {
          return ErasedProducts(FiniteDifferenceFisher.secant(counted, over: reach, upTo: end.distance))
        }
        return products?.endpointForm.map { ErasedProducts(EndpointFisher(counted, endpoint: end.endpoint, form: $0)) }
          ?? erased!
      }
    }
    try model.check()
    if let trouble { throw trouble }
    if let trouble = ready.refusal(of: found) { throw trouble }
    let outcome = settling.isSettled ? found.outcome : found.outcome == .converged ? .stepLimit : found.outcome
    let (means, last) = (found.losses.mean(-1).doubles, found.losses[found.losses.batch - 1])
    let finalLoss = last.mean().item
    let seconds = (clock.now - begin).seconds
    progress.finish()

    if let output {
      try OutputFile.write([try output.file(of: [("samples", found.samples), ("loss", found.losses)])])
    }
    let times = zip(moments, moments.dropFirst()).map { ($1 - $0).seconds }
    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, loss: loss, measurement: measurement,
        method: picked, outcome: outcome.rawValue, features: features, from: from, to: to, strength: strength,
        steps: steps, guideFrom: guideFrom, guideTo: guideTo, predictionSteps: predictionSteps,
        samples: first.batch, dimension: model.dimension, meanLoss: numbers(means), secondsPerStep: numbers(times),
        meanFinalLoss: numbers([finalLoss])[0], deviation: isPosterior || isMatched ? deviation : nil,
        zeta: pull, systemResidual: settling.worst.flatMap { numbers([$0])[0] }, out: out)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      try Terminal.answer(
        "mean loss of \(first.batch) samples \(significant(finalLoss, 4))"
          + (means.count > 1 ? ", at the first guided step \(significant(means[0], 4))" : "") + ", by \(picked)")
      if !settling.isSettled {
        try Terminal.answer(
          "systems of the spread did not settle: \(significant(settling.worst ?? .nan, 2)) of one was left")
      }
    }
    found.outcome.warn(of: "the samples or their losses")
  }

  /// The checks that need nothing but the options.
  private func check() throws(Failure) {
    guard (count == nil) != (start == nil) else {
      throw .option(
        "--count", count == nil ? "is missing" : "and --start are both given",
        repair: "give either how many samples to draw or the states to start from")
    }
    guard count.map({ $0 > 0 && $0 <= 1_000_000 }) ?? true else {
      throw .option("--count", "\(count ?? 0) is no count of samples", repair: "give a number from 1 to 1000000")
    }
    guard steps > 0, steps <= 100_000 else {
      throw .option("--steps", "\(steps) is no count of steps", repair: "give a number from 1 to 100000")
    }
    guard guideFrom >= 0, guideFrom < guideTo, guideTo <= steps else {
      throw .option(
        "--guide-from", "\(guideFrom) and --guide-to \(guideTo) are no steps of \(steps)",
        repair: "give 0 ≤ from < to ≤ \(steps)")
    }
    guard strength >= 0, strength.isFinite else {
      throw .option("--strength", "\(strength) is no strength", repair: "give a number such as 0.2")
    }
    guard predictionSteps > 0, predictionSteps <= 1000 else {
      throw .option(
        "--prediction-steps", "\(predictionSteps) is no count of steps", repair: "give a number from 1 to 1000")
    }
    guard deviation > 0 && deviation.isFinite || deviation == 0 && method == "dps" else {
      throw .option(
        "--deviation", "\(deviation) is no deviation",
        repair: deviation == 0 ? "give a positive number, or use --method dps" : "give a positive number")
    }
    guard zeta == nil || deviation == 0 else {
      throw .option("--zeta", "is for --deviation 0", repair: "leave it out")
    }
    guard zeta.map({ $0 > 0 && $0.isFinite }) ?? true else {
      throw .option("--zeta", "\(zeta ?? 0) is no strength", repair: "give a positive number such as 1")
    }
  }
}

/// How far the systems of a run were solved.
private final class Settling: Sendable {
  private let residual = Mutex<Double?>(nil)

  /// The largest residual, in parts of its right-hand side; nil where there was no system.
  var worst: Double? { residual.withLock { $0 } }
  /// As far as single precision can tell.
  var isSettled: Bool { worst.map { $0 <= 1e-5 } ?? true }

  func add(_ residuals: Tensor) {
    let largest = residuals.max().item
    residual.withLock { $0 = largest.isNaN ? .infinity : max($0 ?? 0, largest) }
  }
}

/// A denoiser that has seen a measurement, and notes how far its systems were solved.
private struct WatchedMoments<F: FisherAccess>: Denoiser where F.Operator: FisherMatvec {
  let base: MomentMatchedGuidance<F>
  let settling: Settling
  var schedule: any NoiseSchedule { base.schedule }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let update = base.update(x, at: t)
    settling.add(update.residual)
    return update.estimate
  }
}

/// A denoiser that is guided between two times only.
private struct GuidedSteps<Guided: Denoiser>: Denoiser {
  let base: any Denoiser
  let guided: Guided
  let times: ClosedRange<Double>
  var schedule: any NoiseSchedule { base.schedule }

  init(base: any Denoiser, by guided: Guided, between times: ClosedRange<Double>) {
    (self.base, self.guided, self.times) = (base, guided, times)
  }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    times.contains(t) ? guided.denoise(x, at: t) : base.denoise(x, at: t)
  }
}
