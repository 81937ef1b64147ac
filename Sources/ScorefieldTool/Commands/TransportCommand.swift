import ArgumentParser
import Scorefield

struct TransportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "transport", abstract: "Is the probability flow of a model an optimal transport?",
    discussion: """
      Carries points from one noise level to another with the Jacobian of the way. The map is an optimal transport where that is \
      symmetric and has no negative eigenvalue at every point. Writes endpoint, jacobian, asymmetry, off_diagonal_index, \
      smallest_eigenvalue and error_bound; with --probes, where the Jacobian is not formed, asymmetry_bound in place of \
      jacobian and off_diagonal_index.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(help: "The states at --from, shape [B, …].")
  var start: String?

  @Option(help: "How many states to draw, as noise, in place of --start.")
  var count: Int?

  @Option(help: "The noise-to-signal ratio sigma/alpha to start from.")
  var from: Double

  @Option(help: "The noise-to-signal ratio sigma/alpha to carry them to.")
  var to: Double

  @Option(help: "The tolerance; everything is done again at a 32nd of it (default: 1e-7, and 1e-4 in float32).")
  var rtol: Double?

  @Option(help: "How F v is had: exact, jvp or finite-difference (default: exact for exact fields, else jvp).")
  var method: String?

  @Option(
    help: "Pairs of random probes, in place of the whole Jacobian (default: 8 where it has more than 256 columns).")
  var probes: Int?

  @Option(help: "The probability with which the probes' bound of the asymmetry holds.")
  var confidence = 0.95

  @Option(help: "Where the arrays go (.safetensors).")
  var out: String?

  @Option(
    help: """
      Where the way goes (.safetensors): ratios, points and jacobians in x/alpha, asymmetry, curl and commutator at 41 noise \
      levels.
      """)
  var along: String?

  struct Body: Encodable {
    let model, schedule, method, outcome, answer: String
    let from, to, fromTime, toTime, rtol: Double
    let samples, dimension: Int
    let asymmetry, offDiagonalIndex, asymmetryBound, smallestEigenvalue, errorBound, endpointError: [Double?]?
    let answers: [TransportAnswer]
    let largestCurl, largestCommutator: Double?
    let meanAsymmetry, largestAsymmetry, leastEigenvalue, largestErrorBound: Double?
    let cost: TransportCost?
    let pairs: Int?
    let confidence: Double?
    let nfe, products: Int
    let out: String?
  }

  /// The largest Jacobian that is formed where nothing else is asked for.
  private static let denseLimit = 256
  /// Points that share their steps.
  private static let partSize = 256

  mutating func run() throws {
    let asked = try common.validated()
    guard rtol.map({ $0 > 0 && $0 < 1 }) ?? true else {
      throw Failure.option("--rtol", "\(rtol ?? 0) is no tolerance", repair: "give a number between 0 and 1")
    }
    guard probes.map({ (0...10_000).contains($0) }) ?? true else {
      throw Failure.option(
        "--probes", "\(probes ?? 0) is no count of pairs",
        repair: "give a number from 1 to 10000, or 0 for the whole Jacobian")
    }
    guard confidence > 0, confidence < 1 else {
      throw Failure.option("--confidence", "\(confidence) is no probability", repair: "give a number between 0 and 1")
    }
    guard (count == nil) != (start == nil) else {
      throw Failure.option(
        "--start", start == nil ? "is missing" : "and --count are both given",
        repair: "give either the states to start from or how many to draw")
    }
    guard count.map({ $0 > 0 && $0 <= 1_000_000 }) ?? true else {
      throw Failure.option(
        "--count", "\(count ?? 0) is no count of states", repair: "give a number from 1 to 1000000")
    }
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    let path = try along.map { path throws(Failure) in try ArrayOutput(path, option: "--along") }
    guard along == nil || along != out else {
      throw Failure.option("--along", "is the same file as --out", repair: "give them different names")
    }
    var source = try ModelInput(choice)
    source.continueSchedule(downTo: min(self.from, self.to))
    let schedule = source.schedule
    let from = try schedule.time(atRatio: self.from, option: "--from")
    let to = try schedule.time(atRatio: self.to, option: "--to")
    guard from != to else {
      throw Failure.option("--from", "\(self.from) is the same as --to", repair: "give two noise-to-signal ratios")
    }
    let states = try start.map { try ArrayInput($0) }
    let levels = try common.levels(beside: source)
    try source.checkCondition(for: nil)

    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    let products = try FlowProducts(method, of: model)
    if let states { try model.accepts(states) }
    var generator = Generator(seed: common.seed)
    let grid =
      try states.map { model.arranged(try $0.values(model.type), of: $0) }
      ?? startingNoise(
        [count ?? 1] + model.sampleShape, at: from, on: schedule.schedule, type: model.type, using: &generator)
    let x = grid.reshaped([grid.batch] + model.sampleShape)
    guard x.isFinite().all() else {
      throw Failure(.badData, start ?? "--count", "holds numbers that are not finite", repair: "give finite numbers")
    }
    let pairs = probes ?? (model.dimension > Self.denseLimit ? 8 : 0)
    guard path == nil || x.count * model.dimension <= 1 << 22 else {
      throw Failure.option(
        "--along", "would hold \(x.batch) Jacobians of \(model.dimension) columns at every level",
        repair: "give fewer states, or leave it out")
    }

    let clock = ContinuousClock()
    let begin = clock.now
    let counter = EvaluationCounter()
    let accuracy = rtol.map { FlowAccuracy(rtol: $0) } ?? .standard(for: model.type)
    let parts = stride(from: 0, to: x.batch, by: Self.partSize).map { $0..<min($0 + Self.partSize, x.batch) }
    // Each part is done twice, the second time in twice as many steps.
    let progress = FlowProgress(
      "transport", from: from, to: to, on: schedule.schedule, passes: 2 * parts.count + (path == nil ? 0 : 1))
    let watched = WatchedDenoiser(base: CountedDenoiser(model.denoiser, counter: counter), progress: progress)
    let fisher = products.access(of: model, counter: counter)
    let found = parts.map { range in
      pairs == 0
        ? TransportPart(
          transportVerdict(at: x[range], under: watched, fisher: fisher, from: from, to: to, accuracy: accuracy))
        : TransportPart(
          probedTransport(
            at: x[range], under: watched, fisher: fisher, from: from, to: to, pairs: pairs, confidence: confidence,
            seed: common.seed &+ UInt64(range.lowerBound), accuracy: accuracy))
    }
    let whole = TransportPart(joining: found)
    let (a, b) = (schedule.schedule.kernel(at: from).alpha, schedule.schedule.kernel(at: to).alpha)
    let cost = whole.outcome == .converged ? TransportCost(from: x / a, to: whole.endpoint / b) : nil
    let way = path.map { _ in
      transportDiagnostics(at: x, under: watched, fisher: fisher, from: from, to: to, accuracy: accuracy)
    }
    let seconds = (clock.now - begin).seconds
    progress.finish()

    var files: [OutputFile] = []
    if let path, let way {
      files.append(
        try path.file(of: [
          ("ratios", Tensor(way.ratios)), ("points", way.points), ("jacobians", way.jacobians),
          ("asymmetry", way.asymmetry), ("curl", way.curl), ("commutator", way.commutator),
        ]))
    }
    if let output {
      var arrays = [("endpoint", whole.endpoint.reshaped(grid.shape)), ("asymmetry", whole.asymmetry)]
      for (name, array) in [
        ("jacobian", whole.jacobian), ("off_diagonal_index", whole.offDiagonalIndex),
        ("asymmetry_bound", whole.asymmetryBound),
      ] {
        if let array { arrays.append((name, array)) }
      }
      arrays += [("smallest_eigenvalue", whole.smallestEigenvalue), ("error_bound", whole.errorBound)]
      files.append(try output.file(of: arrays))
    }
    try model.check()
    if !files.isEmpty { try OutputFile.write(files) }

    let (asymmetry, eigenvalues, bounds) = (
      whole.asymmetry.doubles, whole.smallestEigenvalue.doubles, whole.errorBound.doubles
    )
    let beside = (whole.offDiagonalIndex ?? whole.asymmetryBound)?.doubles ?? []
    let settled = whole.outcome == .converged
    func number(_ value: Double?) -> Double? { value.flatMap { settled && $0.isFinite ? $0 : nil } }
    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, method: products.name, outcome: whole.outcome.rawValue,
        answer: whole.answer.rawValue, from: self.from, to: self.to, fromTime: from, toTime: to, rtol: accuracy.rtol,
        samples: x.batch, dimension: model.dimension, asymmetry: numbers(asymmetry),
        offDiagonalIndex: whole.offDiagonalIndex.map { numbers($0.doubles) },
        asymmetryBound: whole.asymmetryBound.map { numbers($0.doubles) }, smallestEigenvalue: numbers(eigenvalues),
        errorBound: numbers(bounds), endpointError: numbers(whole.endpointError.doubles), answers: whole.answers,
        largestCurl: number(way?.curl.max().item), largestCommutator: number(way?.commutator.max().item),
        meanAsymmetry: number(asymmetry.reduce(0, +) / Double(asymmetry.count)),
        largestAsymmetry: number(asymmetry.max()), leastEigenvalue: number(eigenvalues.min()),
        largestErrorBound: number(bounds.max()), cost: cost, pairs: pairs == 0 ? nil : pairs,
        confidence: pairs == 0 ? nil : confidence, nfe: whole.evaluations,
        products: whole.evaluations * (pairs == 0 ? model.dimension : 2 * pairs), out: out)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      var table = Table([
        "point", "asymmetry", pairs == 0 ? "off-diagonal" : "at most", "smallest eigenvalue", "error bound", "answer",
      ])
      for index in asymmetry.indices.prefix(20) {
        table.add([
          "\(index)", significant(asymmetry[index], 4), significant(beside[index], 4),
          significant(eigenvalues[index], 4), significant(bounds[index], 2), whole.answers[index].rawValue,
        ])
      }
      try Terminal.answer(table.text)
      if asymmetry.count > 20 {
        try Terminal.answer("… and \(asymmetry.count - 20) more\(out == nil ? "; --out writes them all" : "")")
      }
      try Terminal.answer(Self.words(whole, of: x.batch, confidence: pairs == 0 ? nil : confidence))
      if let cost {
        try Terminal.answer(
          "The flow carries its starts for \(significant(cost.flow, 5)) on average, the best pairing of the same ends for "
            + "\(significant(cost.optimal, 5)): \(fixed(100 * cost.excess, 2)) % more, and \(cost.changed) of \(x.batch) "
            + "pairs differ (|Δx/α|²)")
      }
    }
  }

  private static func words(_ found: TransportPart, of count: Int, confidence: Double?) -> String {
    let refuted = found.answers.count { $0 == .notOptimal }
    let open = found.answers.count { $0 == .undecided }
    switch found.answer {
    case .notOptimal:
      return "No optimal transport: \(refuted) of \(count) Jacobians are not symmetric and positive, beyond the error"
    case .undecided where found.outcome != .converged:
      return "Not settled (\(found.outcome.words)): give a larger --rtol"
    case .undecided:
      return "Undecided: at \(open) of \(count) points the bound is too large; give a smaller --rtol"
        + (confidence == nil ? "" : " or more --probes")
    case .optimal:
      return
        "Nothing speaks against an optimal transport: all \(count) Jacobians are symmetric and positive up to the bound"
        + (confidence.map { ", each with probability \(significant($0, 4))" } ?? "")
    }
  }
}

/// What is known of some of the points, by either way.
private struct TransportPart {
  let endpoint, endpointError, asymmetry, smallestEigenvalue, errorBound: Tensor
  let jacobian, offDiagonalIndex, asymmetryBound: Tensor?
  let answers: [TransportAnswer]
  let evaluations: Int
  let outcome: Outcome

  init(_ verdict: TransportVerdict) {
    (endpoint, endpointError) = (verdict.jacobian.endpoint, verdict.jacobian.endpointError)
    (asymmetry, smallestEigenvalue) = (verdict.asymmetry, verdict.smallestEigenvalue)
    (jacobian, offDiagonalIndex, asymmetryBound) = (verdict.jacobian.matrix, verdict.offDiagonalIndex, nil)
    (errorBound, answers) = (verdict.errorBound, verdict.answers)
    (evaluations, outcome) = (verdict.jacobian.evaluations, verdict.jacobian.outcome)
  }

  init(_ probed: ProbedTransport) {
    (endpoint, endpointError) = (probed.endpoint, probed.endpointError)
    (asymmetry, smallestEigenvalue) = (probed.asymmetry, probed.smallestRitzValue)
    (jacobian, offDiagonalIndex, asymmetryBound) = (nil, nil, probed.asymmetryBound)
    (errorBound, answers) = (probed.asymmetryError, probed.answers)
    (evaluations, outcome) = (probed.evaluations, probed.outcome)
  }

  init(joining parts: [TransportPart]) {
    func joined(_ piece: (TransportPart) -> Tensor) -> Tensor { .concatenated(parts.map(piece)) }
    func joined(_ piece: (TransportPart) -> Tensor?) -> Tensor? {
      let all = parts.compactMap(piece)
      return all.isEmpty ? nil : .concatenated(all)
    }
    (endpoint, endpointError, asymmetry) = (joined(\.endpoint), joined(\.endpointError), joined(\.asymmetry))
    (smallestEigenvalue, errorBound) = (joined(\.smallestEigenvalue), joined(\.errorBound))
    (jacobian, offDiagonalIndex) = (joined(\.jacobian), joined(\.offDiagonalIndex))
    asymmetryBound = joined(\.asymmetryBound)
    answers = parts.flatMap(\.answers)
    evaluations = parts.map(\.evaluations).reduce(0, +)
    outcome = parts.map(\.outcome).first { $0 != .converged } ?? .converged
  }

  var answer: TransportAnswer { TransportAnswer(of: answers) }
}
