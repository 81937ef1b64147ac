import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths

/// The `scheduler_config.json` of a diffusers model: which of its schedulers samples, and with which settings.
///
///     let sampler = try SchedulerConfiguration(contentsOf: path).sampler(steps: 25)
///     let run = sampler.sample(from: noise, noise: .seed(0)) { x, timestep in unet(x, timestep) }
///
/// What a file does not say has the standard value of its class.
public struct SchedulerConfiguration: Sendable {
  /// A new scheduler is a file, and a line here.
  private static let schedulers: [any DiffusersScheduler.Type] = [
    DDIMScheduler.self, DDPMScheduler.self, PNDMScheduler.self, DEISMultistepScheduler.self,
    DPMSolverMultistepScheduler.self, DPMSolverSinglestepScheduler.self, DPMSolverSDEScheduler.self,
    EulerDiscreteScheduler.self, EulerAncestralDiscreteScheduler.self, HeunDiscreteScheduler.self,
    KDPM2DiscreteScheduler.self, KDPM2AncestralDiscreteScheduler.self, LMSDiscreteScheduler.self,
    UniPCMultistepScheduler.self, EDMEulerScheduler.self, EDMDPMSolverMultistepScheduler.self,
    FlowMatchEulerDiscreteScheduler.self, FlowMatchHeunDiscreteScheduler.self, CMStochasticIterativeScheduler.self,
  ]

  /// The classes that can be read.
  public static var classNames: [String] { schedulers.map { $0.className } }

  public let path: String
  /// The class of diffusers, such as `DDIMScheduler`.
  public let className: String
  /// Keys that mean nothing to the class; whoever reads the file should say so.
  public let unknownKeys: [String]
  private let scheduler: any DiffusersScheduler

  /// Reads a file.
  public init(contentsOf path: String) throws(ArrayFileError) {
    try self.init(Bytes(mapping: path), path: path)
  }

  /// Reads the bytes of a file that errors call by the given path.
  public init(_ bytes: Bytes, path: String) throws(ArrayFileError) {
    var file = try SchedulerFile(bytes, path: path)
    guard let type = Self.schedulers.first(where: { $0.className == file.className }) else {
      let near = nearestName(to: file.className, in: Self.classNames)
      throw ArrayFileError(
        path, .badData, "'_class_name' = \(ArrayFileError.quote(file.className)) is no scheduler that is known here",
        repair: near.map { "did you mean '\($0)'?" } ?? "use one of \(Self.classNames.joined(separator: ", "))")
    }
    scheduler = try type.init(&file)
    (self.path, className, unknownKeys) = (path, file.className, file.unknownKeys)
  }

  /// The schedule whose times the model's timesteps are: the index of a training step, `σ` of the straight path or `σ` of `x/α`.
  public var schedule: any NoiseSchedule { scheduler.clock.schedule }

  /// The largest `eta` with which every one of a number of steps keeps the noise level right, or nil where the class knows no
  /// `eta` or does not go that many steps.
  public func largestEta(steps: Int) -> Double? {
    guard scheduler.steps.contains(steps) else { return nil }
    return (scheduler as? DDIMScheduler)?.largestEta(steps)
  }

  /// The sampler of a number of steps.
  ///
  /// - Parameters:
  ///   - steps: What diffusers calls `num_inference_steps`.
  ///   - eta: What its DDIM is passed at every step: the share of fresh noise. Other classes know none.
  ///   - mu: The shift of an image, where the file says `use_dynamic_shifting`; what pipelines pass to `set_timesteps`.
  /// - Returns: The sampler.
  /// - Throws: Where the class cannot go that number of steps, has no use for `eta` or `mu` or needs it, or a prediction does
  ///   not tell the data where it starts.
  public func sampler(steps: Int, eta: Double = 0, mu: Double? = nil) throws(ArrayFileError) -> DiffusersSampler {
    guard eta == 0 || scheduler is DDIMScheduler else {
      throw ArrayFileError(path, .badData, "\(className) has no eta", repair: "leave it out, or use 'DDIMScheduler'")
    }
    guard eta >= 0, eta.isFinite else {
      throw ArrayFileError(path, .badData, "eta \(eta) is no share of noise", repair: "use 0 or a positive number")
    }
    var scheduler = scheduler
    if let mu {
      guard let shifted = scheduler.dynamicallyShifted(by: mu) else {
        throw ArrayFileError(
          path, .badData, "has no levels that mu \(mu) could shift",
          repair: "use one from 0.1 to 10 where 'use_dynamic_shifting' is true, and none elsewhere")
      }
      scheduler = shifted
    } else if scheduler.needsShift {
      throw ArrayFileError(
        path, .badData, "'use_dynamic_shifting' = true leaves the shift to the size of an image",
        repair: "give its mu, or use false and a fixed 'shift'")
    }
    guard scheduler.steps.contains(steps) else {
      throw ArrayFileError(
        path, .badData, "\(className) does not go \(steps) steps with these settings",
        repair: "use \(scheduler.steps.lowerBound) to \(scheduler.steps.upperBound)")
    }
    if let largest = largestEta(steps: steps), eta > largest {
      throw ArrayFileError(
        path, .badData, "eta \(eta) is more noise than a step of \(steps) has room for",
        repair: "use at most \(largest)")
    }
    let plan = scheduler.plan(steps, eta: eta)
    if let node = plan.steps.first.map({ plan.nodes[$0.from] }),
      scheduler.head.conversion(to: .data, at: node.kernel) == nil
    {
      throw ArrayFileError(
        path, .badData, "what the model predicts does not tell the data at its first step, where there is no signal",
        repair: "use 'v_prediction' or 'sample' with 'rescale_betas_zero_snr'")
    }
    return DiffusersSampler(plan: plan, head: scheduler.head, limit: scheduler.limit, clock: scheduler.clock)
  }
}
