import Scorefield

/// Figure 3 of "Efficiently Access Diffusion Fisher": what samples score against how many steps were guided, for each way to the
/// products of the Fisher, and what these cost.
///
/// There it is text-to-image with predictors of beauty and the like; here an unconditional denoiser of digits is led to a class by a
/// classifier's loss, and to a style by the Gram matrices of its hidden layers. A second classifier judges.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, figure 3, appendix C.4.
struct Figure3 {
  /// What the samples are led by.
  enum Goal: String, CaseIterable, Encodable {
    /// `−log p` of a class.
    case label = "class"
    /// The distance of the Gram matrices to those of a digit that is held out.
    case style
  }

  struct Setup: Encodable {
    let known: Int
    let network = "U-Net for 8 x 8 images, class dropout, asked without classes"
    let training: DigitModel.Budget
    let sampler = "ddim, even in log(sigma/alpha)"
    let samplerSteps = Figure3.steps
    let from = DigitModel.likelihoodEnd
    let to = DigitModel.likelihoodStart
    /// The step before which the last move is.
    let lastGuidedStep = Figure3.end
    let guidedSteps: [Int]
    let predictionSteps = Figure3.predictionSteps
    let strength: Double
    let samplesPerClass: Int
    let losses = ["class": "-log p, guiding classifier", "style": "Gram distance of its hidden layers, relative"]
    let guidingClassifierAccuracy, judgingClassifierAccuracy: Double
    let isQuick: Bool
  }

  /// One way to the products, for one goal and number of guided steps.
  struct Row: Encodable {
    let goal: Goal
    let method: String
    let guidedSteps, samples: Int
    let loss, lossError: Double
    /// By how much the loss is above that of the VJP from the same noise.
    let excess, excessError: Double
    /// The judging classifier's loss.
    let judgedLoss, judgedLossError: Double
    /// How many of the samples the judging classifier takes for the class, or for that of the style's digit, in percent.
    let accuracy, accuracyError: Double
    /// To the nearest known digit.
    let distance, distanceError: Double
    let seconds: Double
    let networkEvaluations: Int
    let outcome: Outcome
  }

  /// What a product costs.
  struct Cost: Encodable {
    let method: String
    let isGradientFree, needsData: Bool
    /// Of one evaluation and product for a batch: the median of many.
    let milliseconds: Double
    let shareOfVjp: Double
    let networkEvaluations: Int
    /// How far above the rest of the process the memory rose; nil where the system does not say.
    let memoryBytes: Int?
    /// Nil where the system does not say.
    let shareOfVjpMemory: Double?
    /// Of guided sampling, less the unguided sampling, per guided step.
    let guidedStepMilliseconds: Double
  }

  /// Backward differences as far as the gradient is followed, against what is claimed of them: the VJP's loss at every number of guided
  /// steps, within ``timeLimit`` of its time and ``memoryLimit`` of its memory.
  struct Recommendation: Encodable {
    let method: String
    let shareOfVjp: Double
    /// Nil where the system does not say.
    let shareOfVjpMemory: Double?
    let timeLimit = Figure3.timeLimit
    let memoryLimit = Figure3.memoryLimit
    let verdicts: [Verdict]
    /// The largest excess over the VJP's loss, in its standard errors.
    let largestExcess: Double
    /// Whether it is met to the last digit, and whether within two standard errors of the paired differences; not where the memory is
    /// not known.
    let isMet, isMetWithinError: Bool
  }

  /// Whether a method does what the paper says of DF-EA.
  struct Verdict: Encodable {
    let goal: Goal
    let method: String
    /// The numbers of guided steps, but none, at which its loss is not above the VJP's.
    let reachedAt: [Int]
    /// Whether these are all, and whether they are within two standard errors of the paired difference; not where nothing was guided.
    let reachesVjp, reachesVjpWithinError: Bool
    let isWithinHalfTheTime: Bool
    /// Whether it is within ``memoryLimit`` of the VJP's memory; nil where the system does not say.
    let isWithinMemory: Bool?

    /// Whether nothing that was asked of it is missing.
    var isMet: Bool { reachesVjp && isCheap }
    var isMetWithinError: Bool { reachesVjpWithinError && isCheap }
    private var isCheap: Bool { isWithinHalfTheTime && isWithinMemory == true }
  }

  static let steps = 50
  static let end = 35
  static let predictionSteps = 4
  static let pictureCount = 20
  /// What a product may cost, as shares of the VJP's time and memory.
  static let timeLimit = 0.5
  static let memoryLimit = 0.6

  let setup: Setup
  let rows: [Row]
  let costs: [Cost]
  let verdicts: [Verdict]
  let recommendation: Recommendation
  let products: [FisherProducts.Row]
  let neighbours: GuidanceNeighbours
  let networkEvaluations: Int
  /// Samples at most guided steps, one row of pictures per method and goal, in the order of `pictureNames`.
  let picture: Tensor
  let pictureNames: [String]

  init(_ digits: DigitSet, options: Figure3Options, budget: ReproduceDigits, quick: Bool, seed: UInt64) throws {
    let perClass = budget.samples ?? (quick ? 3 : 20)
    let budget = budget.training(quick: quick)
    let counts = options.guided ?? (quick ? [0, 5, 20] : [0, 2, 5, 10, 15, 20])
    let trained = 2 * DigitClassifier.steps + budget.steps
    let progress = Progress("figure3", total: trained + 2000 + GuidanceNeighbours.effort(quick: quick))
    let world = try GuidedDigits(digits, budget: budget, strength: options.strength, seed: seed, progress: progress)

    let known = digits.known(.float32)
    let methods = FisherProducts.methods(over: known, on: .edm)
    let classes = (0..<(10 * perClass)).map { $0 % 10 }
    let ways = methods.filter(\.guides)
    var (rows, pictures, names, unguided) = ([Row](), [Tensor](), [String](), [Goal: GuidedDigits.Run]())
    var runs: [(method: FisherProducts.Method, goal: Goal, guided: Int, run: GuidedDigits.Run)] = []
    let total = Goal.allCases.count * (counts.count) * ways.count
    for goal in Goal.allCases {
      let target = world.target(goal, classes)
      unguided[goal] = world.run(target, guided: 0, by: ways[0])
      for method in ways {
        for guided in counts {
          progress.show(trained + 2000 * runs.count / total, note: "\(method.name), \(goal.rawValue), \(guided) steps")
          let run = guided == 0 ? unguided[goal]! : world.run(target, guided: guided, by: method)
          runs.append((method, goal, guided, run))
          if guided == counts.max() {
            pictures.append(DigitSet.scale.scaled(run.levels[..<min(Self.pictureCount, classes.count)]))
            names.append("\(method.name), \(goal.rawValue)")
          }
        }
      }
    }
    for (method, goal, guided, run) in runs {
      let reference = runs.first { $0.method.name == "vjp" && $0.goal == goal && $0.guided == guided }!.run
      let excess = zip(run.losses, reference.losses).map(-)
      let right = Statistics.mean(run.isRight.map { $0 ? 1 : 0 })
      let distances = world.distances(run.levels)
      rows.append(
        Row(
          goal: goal, method: method.name, guidedSteps: guided, samples: classes.count,
          loss: Statistics.mean(run.losses), lossError: Statistics.standardError(run.losses),
          excess: Statistics.mean(excess), excessError: Statistics.standardError(excess),
          judgedLoss: Statistics.mean(run.judgedLosses), judgedLossError: Statistics.standardError(run.judgedLosses),
          accuracy: 100 * right, accuracyError: 100 * Statistics.standardError(ofShare: right, of: classes.count),
          distance: Statistics.mean(distances), distanceError: Statistics.standardError(distances),
          seconds: run.seconds, networkEvaluations: run.evaluations, outcome: run.outcome))
    }

    let meter = ProductMeter(world: world, batch: classes.count, repetitions: quick ? 10 : 40, seed: seed)
    let milliseconds = meter.milliseconds(ways)
    let memory = ways.map(meter.memory)
    let reference = ways.firstIndex { $0.name == "vjp" }!
    var costs: [Cost] = []
    for (index, method) in ways.enumerated() {
      let own = runs.filter { $0.method.name == method.name && $0.guided > 0 }
      let extra = own.reduce(0) { $0 + $1.run.seconds - unguided[$1.goal]!.seconds }
      costs.append(
        Cost(
          method: method.name, isGradientFree: method.isGradientFree, needsData: method.needsData,
          milliseconds: milliseconds[index], shareOfVjp: milliseconds[index] / milliseconds[reference],
          networkEvaluations: meter.evaluations(method), memoryBytes: memory[index],
          shareOfVjpMemory: memory[index].flatMap { own in
            memory[reference].flatMap { $0 > 0 ? Double(own) / Double($0) : nil }
          },
          guidedStepMilliseconds: 1000 * extra / Double(max(1, own.reduce(0) { $0 + $1.guided }))))
    }
    verdicts = Goal.allCases.flatMap { goal in
      costs.filter { $0.method != "vjp" }.map { cost in
        let own = rows.filter { $0.goal == goal && $0.method == cost.method && $0.guidedSteps > 0 }
        return Verdict(
          goal: goal, method: cost.method, reachedAt: own.filter { $0.excess <= 0 }.map(\.guidedSteps),
          reachesVjp: !own.isEmpty && own.allSatisfy { $0.excess <= 0 },
          reachesVjpWithinError: !own.isEmpty && own.allSatisfy { $0.excess <= 2 * $0.excessError },
          isWithinHalfTheTime: cost.shareOfVjp <= Self.timeLimit,
          isWithinMemory: cost.shareOfVjpMemory.map { $0 <= Self.memoryLimit })
      }
    }
    let choice = "secant:8"
    let own = verdicts.filter { $0.method == choice }
    let cost = costs.first { $0.method == choice }!
    recommendation = Recommendation(
      method: choice, shareOfVjp: cost.shareOfVjp, shareOfVjpMemory: cost.shareOfVjpMemory, verdicts: own,
      largestExcess: rows.filter { $0.method == choice && $0.guidedSteps > 0 && $0.excessError > 0 }
        .map { $0.excess / $0.excessError }.max() ?? 0,
      isMet: own.allSatisfy(\.isMet), isMetWithinError: own.allSatisfy(\.isMetWithinError))
    neighbours = try GuidanceNeighbours(world, classes: classes, quick: quick) {
      progress.show(trained + 2000 + $0, note: $1)
    }
    products = try FisherProducts.rows(digits, network: world.model, quick: quick, seed: seed)
    progress.finish()
    let heldOut = (digits.heldOutLevels, digits.heldOutClasses!)
    func accuracy(_ classifier: DigitClassifier) -> Double {
      100 * Statistics.mean(classifier.judgement(of: heldOut.0, classes: heldOut.1).isRight.map { $0 ? 1 : 0 })
    }
    setup = Setup(
      known: digits.knownLevels.batch, training: budget, guidedSteps: counts, strength: options.strength,
      samplesPerClass: perClass, guidingClassifierAccuracy: accuracy(world.guide),
      judgingClassifierAccuracy: accuracy(world.judge), isQuick: quick)
    (self.rows, self.costs, networkEvaluations) = (rows, costs, world.counter.count)
    (picture, pictureNames) = (.concatenated(pictures), names)
  }
}

/// An unconditional denoiser of the digits, the classifier that leads its samples, and the one that judges them.
struct GuidedDigits {
  let digits: DigitSet
  let model: NetworkDenoiser
  let guide, judge: DigitClassifier
  let strength: Double
  let counter = EvaluationCounter()
  let seed: UInt64

  /// Where samples are led.
  struct Target {
    let classes: [Int]
    /// A digit of each class that is held out, for the style; nil for a class.
    let styles: Tensor?
  }

  /// What a way to lead samples is given.
  struct Lead {
    /// The denoiser without classes, and with those of the target.
    let denoiser, conditional: PassCounter.Counting
    /// The states at the first time, the same for every target and way.
    let start: Tensor
    let grid: TimeGrid
    /// The loss of each sample, `[B]`.
    let loss: @Sendable (Tensor) -> Tensor
    /// Counts what a way asks that is neither a denoiser nor the loss, as if it were the loss.
    let lossCounter: PassCounter
  }

  /// What came of it.
  struct Run {
    let levels: Tensor
    let losses, judgedLosses: [Double]
    let isRight: [Bool]
    let seconds: Double
    /// Of the denoiser, its passes back, and the gradients of the loss: of each sample.
    let evaluations, passesBack, lossGradients: Int
    let outcome: Outcome
  }

  init(_ digits: DigitSet, budget: DigitModel.Budget, strength: Double, seed: UInt64, progress: Progress) throws {
    (self.digits, self.strength, self.seed) = (digits, strength, seed)
    guide = try DigitClassifier.trained(on: digits, seed: seed) { progress.show($0, note: "classifier") }
    judge = try DigitClassifier.trained(on: digits, seed: seed + 1000) {
      progress.show(DigitClassifier.steps + $0, note: "judge")
    }
    model = try DigitModel.trained(on: digits, conditional: true, budget: budget, seed: seed) { step, loss in
      progress.show(2 * DigitClassifier.steps + step, note: "loss \(significant(loss, 3))")
    }.model.conditioned(on: nil).denoiser
    for _ in 0..<(2 * DigitClassifier.steps + budget.steps) { counter.increment() }
  }

  func target(_ goal: Figure3.Goal, _ classes: [Int]) -> Target {
    guard goal == .style else { return Target(classes: classes, styles: nil) }
    // Another digit for each sample of a class, as far as there are any.
    var taken = [Int: Int]()
    let places = classes.map { label in
      let own = digits.heldOutClasses!.indices.filter { digits.heldOutClasses![$0] == label }
      taken[label, default: -1] += 1
      return own[taken[label]! % own.count]
    }
    return Target(classes: classes, styles: digits.heldOut(.float32).selecting(Tensor(places)))
  }

  /// The loss of each sample, `[B]`.
  func loss(_ samples: Tensor, _ target: Target, by classifier: DigitClassifier) -> Tensor {
    if let styles = target.styles { return classifier.styleDistance(samples, to: styles) }
    return -classifier.logProbabilities(samples).entries(target.classes)
  }

  /// Samples that adjoint guidance leads by one way to the products.
  func run(
    _ target: Target, guided count: Int, by method: FisherProducts.Method, strength: Double? = nil
  ) -> Run {
    run(target) { lead in
      // What the sampler asked, differences need not ask again.
      let denoiser = RememberingDenoiser(lead.denoiser)
      let found = guidedSample(
        denoiser, from: lead.start, along: lead.grid,
        guidance: AdjointGuidance(
          guided: (Figure3.end - count)..<Figure3.end, predictionSteps: Figure3.predictionSteps,
          strength: strength ?? self.strength),
        fisher: { method.products(denoiser, $0) }, loss: lead.loss)
      return (found.samples, found.outcome)
    }
  }

  /// Samples that are led by any means; the same noise for every target and way.
  func run(_ target: Target, by way: (Lead) -> (samples: Tensor, outcome: Outcome)) -> Run {
    var generator = Generator(seed: seed + 40)
    let noise = Tensor.normal([target.classes.count, 8, 8], type: .float32, using: &generator)
    let (model, losses) = (PassCounter(), PassCounter())
    let lead = Lead(
      denoiser: model.counting(self.model),
      conditional: model.counting(self.model.conditioned(on: Tensor(target.classes).oneHot(10).to(.float32))),
      start: DigitModel.likelihoodEnd * noise,
      grid: .uniformHalfLogSNR(
        Figure3.steps, over: .edm, from: DigitModel.likelihoodEnd, to: DigitModel.likelihoodStart),
      loss: { x in
        losses.count(x)
        return loss(x, target, by: guide)
      }, lossCounter: losses)
    let clock = ContinuousClock()
    let start = clock.now
    let found = way(lead)
    let seconds = (clock.now - start).seconds
    for _ in 0..<model.evaluations.count { counter.increment() }
    let levels = DigitSet.scale.quantized(found.samples)
    return Run(
      levels: levels, losses: loss(found.samples, target, by: guide).doubles,
      judgedLosses: loss(DigitSet.scale.scaled(levels, type: .float32), target, by: judge).doubles,
      isRight: judge.judgement(of: levels, classes: target.classes).isRight, seconds: seconds,
      evaluations: model.evaluations.count, passesBack: model.passesBack.count,
      lossGradients: losses.passesBack.count, outcome: found.outcome)
  }

  /// The distance of each image to the nearest known digit, per pixel in [−1, 1].
  func distances(_ levels: Tensor) -> [Double] {
    let images = DigitSet.scale.scaled(levels, type: .float64).flattened
    return (images.distances(to: digits.known(.float64).flattened).min(-1) / 8).doubles
  }
}
