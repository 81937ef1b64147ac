import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The samples of diffusers, for the same model, initial noise and noise: `Tests/Golden/make_schedulers.py`.
@Suite struct DiffusersTests {
  struct Case: Decodable, Sendable {
    let config: [String: Value]
    let steps: Int
    let eta, mu: Double?

    var className: String {
      if case .text(let name) = config["_class_name"] { return name }
      return ""
    }
    /// The file again.
    var json: String {
      let entries = config.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value.json)" }
      return "{\(entries.joined(separator: ", "))}"
    }
  }

  /// What a configuration holds.
  enum Value: Decodable, Sendable {
    case flag(Bool)
    case number(Double)
    case text(String)
    case numbers([Double])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let flag = try? container.decode(Bool.self) {
        self = .flag(flag)
      } else if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else if let numbers = try? container.decode([Double].self) {
        self = .numbers(numbers)
      } else {
        self = .text(try container.decode(String.self))
      }
    }

    var json: String {
      switch self {
      case .flag(let flag): "\(flag)"
      case .number(let number): "\(number)"
      case .text(let text): "\"\(text)\""
      case .numbers(let numbers): "\(numbers)"
      }
    }
  }

  static let shape = [4, 2, 1, 2]
  /// The mixture of the script.
  static let mixture = Result {
    try GaussianMixture(
      weights: Tensor([0.4, 0.6]), means: Tensor(rows: [[-0.7, 0.5, 0.2, -0.3], [0.6, -0.4, 0.5, 0.4]]),
      standardDeviations: Tensor([0.3, 0.3]))
  }

  /// The exact field of the mixture, on states of any shape.
  struct Model: Denoiser {
    let base: GaussianMixtureDenoiser
    var schedule: any NoiseSchedule { base.schedule }
    func denoise(_ x: Tensor, at t: Double) -> Tensor { base.denoise(x.reshaped(x.batch, -1), at: t).reshaped(x.shape) }
  }

  static func configuration(_ json: String) throws -> SchedulerConfiguration {
    var json = json
    return try json.withUTF8 { text in
      try SchedulerConfiguration(Bytes(copying: UnsafeRawBufferPointer(text)), path: "scheduler_config.json")
    }
  }

  /// The betas in double precision, as the script's model has them.
  static func schedule(_ entry: Case, _ configuration: SchedulerConfiguration) -> any NoiseSchedule {
    func number(_ key: String, _ standard: Double) -> Double {
      if case .number(let number) = entry.config[key] { return number }
      return standard
    }
    guard configuration.schedule is DiscreteSchedule else { return configuration.schedule }
    if case .numbers(let betas) = entry.config["trained_betas"] { return DiscreteSchedule(variances: betas) }
    if case .flag(true) = entry.config["rescale_betas_zero_snr"], entry.config["prediction_type"] == nil {
      var plain = entry.config
      plain["rescale_betas_zero_snr"] = nil
      let base = schedule(Case(config: plain, steps: entry.steps, eta: nil, mu: nil), configuration)
      let roots = (0...Int(base.timeRange.upperBound)).map { base.alpha(Double($0)) }
      // √ᾱ moved and stretched to end at 0, where there is a trace of signal.
      let moved = roots.map { ($0 - roots.last!) * (roots[0] / (roots[0] - roots.last!)) }.dropLast() + [1e-9]
      let variances = zip([1] + moved, moved).map { 1 - ($1 / $0) * ($1 / $0) }
      return DiscreteSchedule(variances: variances).ending(atAlpha: 0x1p-12)
    }
    let count = Int(number("num_train_timesteps", 1000))
    let isLate = ["Heun", "KDPM2", "DPMSolverSDE"].contains { entry.className.hasPrefix($0) }
    let (first, last) = (number("beta_start", isLate ? 0.00085 : 1e-4), number("beta_end", isLate ? 0.012 : 0.02))
    let place = { (i: Int) in Double(i) / Double(count - 1) }
    guard case .text(let shape) = entry.config["beta_schedule"] else {
      return DiscreteSchedule.linear(from: first, to: last, steps: count)
    }
    switch shape {
    case "scaled_linear": return DiscreteSchedule.scaledLinear(from: first, to: last, steps: count)
    case "squaredcos_cap_v2": return DiscreteSchedule.cosine(steps: count)
    case "sigmoid":
      return DiscreteSchedule(
        variances: (0..<count).map { first + (last - first) / (1 + exp(6 - 12 * place($0))) })
    case "exp":
      return DiscreteSchedule(variances: Array(repeating: 1 - exp(-12 / Double(count)), count: count))
    default: return DiscreteSchedule.linear(from: first, to: last, steps: count)
    }
  }

  /// The network of a case, by the formulas of the script: nothing of it comes from the configuration but its schedule.
  static func network(_ entry: Case, _ model: Model) -> @Sendable (Tensor, Double) -> Tensor {
    func text(_ key: String) -> String? {
      if case .text(let text) = entry.config[key] { return text }
      return nil
    }
    func number(_ key: String, _ standard: Double) -> Double {
      if case .number(let number) = entry.config[key] { return number }
      return standard
    }
    let kind = text("prediction_type") ?? "epsilon"
    if entry.className.hasPrefix("EDM") || entry.className.hasPrefix("CM") {
      let (s, isCM) = (number("sigma_data", 0.5), entry.className.hasPrefix("CM"))
      let sign: Double = kind == "v_prediction" ? -1 : 1
      return { x, t in
        let sigma = exp(isCM ? t / 250 : 4 * t)
        let total = sigma * sigma + s * s
        let state = total.squareRoot() * x
        let time = min(max(sigma, 1e-4), 100)
        return (sign * total.squareRoot() / (sigma * s)) * (model.denoise(state, at: time) - (s * s / total) * state)
      }
    }
    if text("timestep_type") == "continuous" {
      return { x, t in
        // α of the variance-preserving path, and its v.
        let (sigma, alpha) = (exp(4 * t), 1 / (exp(8 * t) + 1).squareRoot())
        let data = model.denoise(x / alpha, at: sigma)
        return (x - alpha * data) / sigma - sigma * alpha * data
      }
    }
    let isFlow = entry.className.hasPrefix("Flow") || kind == "flow_prediction"
    let count = number("num_train_timesteps", 1000)
    var isInverted = false
    if case .flag(true) = entry.config["invert_sigmas"] { isInverted = true }
    let direction: Double = isInverted ? -1 : 1
    return { [isInverted] x, t in
      let time = isFlow ? min(max(isInverted ? 1 - t / count : t / count, 1e-5), 1 - 1e-5) : t
      let (alpha, sigma) = (model.schedule.alpha(time), model.schedule.sigma(time))
      let data = model.denoise(x, at: time)
      let noise = (x - alpha * data) / sigma
      switch isFlow ? "flow" : kind {
      case "flow": return direction * (noise - data)
      case "v_prediction": return alpha * noise - sigma * data
      case "sample": return data
      default: return noise
      }
    }
  }

  /// How far the samples of one class are from the package's.
  struct Outcome {
    var cases = 0
    /// From the package's, where its own rounding leaves room for that, and how many those are.
    var published = 0.0
    var comparable = 0
    /// From its steps in double precision.
    var precise = 0.0
    var timesteps = 0.0
    var worst = ""
  }

  static let classes = SchedulerConfiguration.classNames

  @Test("every scheduler makes the samples of diffusers, for every case of the golden file", arguments: classes)
  func samples(_ className: String) throws {
    let golden = try Golden("schedulers")
    let cases = try golden.metadata("cases", as: [Case].self)
    let seed = Int(try golden.metadata("seed", as: Int.self))
    let (samples, precise) = (try golden["samples"], try golden["precise"])
    let (timesteps, counts) = (try golden["timesteps"].doubles, try golden["counts"].integers)
    let noise = NoiseSource.given((1...120).map { SplitMix(seed: seed + $0).unit(Self.shape) })
    let start = SplitMix(seed: seed).unit(Self.shape)
    var (found, offset) = (Outcome(), 0)
    for (index, entry) in cases.enumerated() {
      defer { offset += counts[index] }
      guard entry.className == className else { continue }
      let configuration = try Self.configuration(entry.json)
      #expect(configuration.unknownKeys.isEmpty, "\(entry.json)")
      let sampler = try configuration.sampler(steps: entry.steps, eta: entry.eta ?? 0, mu: entry.mu)
      let expected = timesteps[offset..<offset + counts[index]]
      #expect(sampler.timesteps.count == expected.count, "\(entry.json), \(entry.steps) steps")
      found.timesteps = max(found.timesteps, zip(sampler.timesteps, expected).map { abs($0 - $1) }.max() ?? 0)
      let model = Model(
        base: GaussianMixtureDenoiser(try Self.mixture.get(), on: Self.schedule(entry, configuration)))
      let run = sampler.sample(from: start, noise: noise, Self.network(entry, model))
      if index % 7 == 0 {
        // The denoiser, asked as that network is.
        let same = sampler.sample(model, from: start, noise: noise).samples
        #expect(relativeError(same, run.samples) < 1e-9, "\(entry.json)")
      }
      #expect(run.evaluations == expected.count && run.outcome == .converged)
      let rounding = (samples[index] - precise[index]).abs().max().item
      let scale = Swift.max(1, precise[index].abs().max().item)
      let (published, exact) = (
        (run.samples - samples[index]).abs().max().item, (run.samples - precise[index]).abs().max().item / scale
      )
      if exact > found.precise { (found.precise, found.worst) = (exact, "\(entry.json), \(entry.steps) steps") }
      // All of the step counts, spacings and predictions; not the extremes of single precision.
      #expect(rounding < 9e-6 || ![5, 10, 25, 50].contains(entry.steps), "\(entry.json)")
      if rounding < 9e-6 {
        found.comparable += 1
        found.published = max(found.published, published)
      }
      found.cases += 1
    }
    #expect(found.cases > 0)
    #expect(found.published < 1e-5, "\(found)")
    #expect(found.precise < 1e-9, "\(found)")
    #expect(found.timesteps < 1e-6, "\(found)")
    if ProcessInfo.processInfo.environment["SCOREFIELD_PRINT"] != nil { print(className, found) }
  }

  /// A run of the package's own tests, whose model is `x t/(t + 1)`.
  struct Loop: Decodable, Sendable, CustomStringConvertible {
    let config: [String: Value]
    let steps: Int
    let sum, mean: Double
    /// Sum and mean as they are published.
    let published: [Double?]
    /// Whether neither the start nor what the model is asked is scaled.
    let bare: Bool?
    /// Whether the published numbers are those of a loop that steps from the scaled input.
    let rescaling: Bool?

    var entry: Case { Case(config: config, steps: steps, eta: nil, mu: nil) }
    var description: String { "\(entry.json), \(steps) steps" }
  }

  static let loops = Result { try Golden("schedulers").metadata("loops", as: [Loop].self) }

  @Test("without a model, sums and means are those diffusers' own tests print", arguments: try loops.get())
  func modelFree(_ loop: Loop) throws {
    let seed = Int(try Golden("schedulers").metadata("seed", as: Int.self))
    let sampler = try Self.configuration(loop.entry.json).sampler(steps: loop.steps)
    let (shape, isBare) = ([4, 3, 8, 8], loop.bare == true)
    let start = (Tensor((0..<768).map(Double.init), shape: [3, 8, 8, 4]) / 768).permuted(3, 0, 1, 2)
    let noise = NoiseSource.given((1...loop.steps).map { SplitMix(seed: seed + $0).unit(shape) })
    let run = sampler.sample(from: isBare ? start / sampler.startScale : start, noise: noise) { x, t in
      let scale = isBare ? (exp(8 * t) + 0.25).squareRoot() : 1
      return (scale * t / (t + 1)) * x
    }
    let (sum, mean) = (run.samples.abs().sum().item, run.samples.abs().mean().item)
    #expect(abs(sum - loop.sum) < 1e-8 * loop.sum && abs(mean - loop.mean) < 1e-8 * loop.mean, "\(sum), \(mean)")
    // DDPM's have other noise.
    guard loop.rescaling != true, loop.entry.className != "DDPMScheduler" else { return }
    for (found, expected) in zip([sum, mean], zip(loop.published, [1e-2, 1e-3])) {
      if let published = expected.0 { #expect(abs(found - published) < expected.1, "\(found) for \(published)") }
    }
  }

  @Test("what every class writes of its defaults is read, and means the defaults", arguments: classes)
  func saved(_ className: String) throws {
    let saved = try Golden("schedulers").metadata("saved", as: [String: String].self)
    let text = try #require(saved[className])
    let configuration = try Self.configuration(text)
    #expect(configuration.unknownKeys.isEmpty)
    let plain = try Self.configuration("{\"_class_name\": \"\(className)\"}")
    let (sampler, expected) = (try configuration.sampler(steps: 10), try plain.sampler(steps: 10))
    #expect(sampler.timesteps == expected.timesteps && sampler.noiseToSignal == expected.noiseToSignal)
  }
}
