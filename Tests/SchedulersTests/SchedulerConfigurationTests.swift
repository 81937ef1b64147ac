import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct SchedulerConfigurationTests {
  func sentence(_ json: String, steps: Int = 10) -> String? {
    do {
      _ = try DiffusersTests.configuration(json).sampler(steps: steps)
      return nil
    } catch { return "\(error)" }
  }

  @Test("keys that mean nothing to a class are named, and marks of diffusers are not")
  func unknown() throws {
    let file = try DiffusersTests.configuration(
      #"{"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.20", "skip_prk_steps": true, "clip_sample": false}"#
    )
    #expect(file.unknownKeys == ["clip_sample", "skip_prk_steps"])
    #expect(file.className == "EulerDiscreteScheduler")
  }

  @Test("null is the standard value")
  func null() throws {
    let file = try DiffusersTests.configuration(
      #"{"_class_name": "UniPCMultistepScheduler", "trained_betas": null, "sigma_min": null, "solver_p": null}"#)
    let plain = try DiffusersTests.configuration(#"{"_class_name": "UniPCMultistepScheduler"}"#)
    #expect(try file.sampler(steps: 7).noiseToSignal == plain.sampler(steps: 7).noiseToSignal)
    #expect(file.unknownKeys.isEmpty)
  }

  @Test(
    "what cannot be done is refused with file, key, value and repair",
    arguments: [
      (
        #"{"_class_name": "DDIMScheduler", "beta_schedule": "laplace"}"#,
        "'beta_schedule' = 'laplace' is nothing DDIMScheduler can do here; use 'linear', 'scaled_linear', 'squaredcos_cap_v2'"
      ),
      (
        #"{"_class_name": "DDPMScheduler", "variance_type": "learned_range"}"#,
        "'variance_type' = 'learned_range' is nothing DDPMScheduler can do here; use 'fixed_small', 'fixed_small_log', 'fixed_large'"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "num_train_timesteps": 2.5}"#,
        "'num_train_timesteps' = 2.5 is no whole number that fits; use one from 2 to 100000"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "clip_sample": "yes"}"#,
        "'clip_sample' = 'yes' is neither true nor false; use one of them"
      ),
      (
        #"{"_class_name": "DDIMSchedular"}"#,
        "'_class_name' = 'DDIMSchedular' is no scheduler that is known here; did you mean 'DDIMScheduler'?"
      ),
      (#"{"beta_start": 0.1}"#, "has no '_class_name'; use the scheduler_config.json of a diffusers model"),
      (#"[1]"#, "is JSON of another form; use the scheduler_config.json of a diffusers model"),
      (
        #"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true}"#,
        "'use_beta_sigmas' = true stands beside 'use_karras_sigmas'; keep one of them"
      ),
      (
        #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}"#,
        "'use_dynamic_shifting' = true leaves the shift to the size of an image; give its mu, or use false and a fixed 'shift'"
      ),
      (
        #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": true, "stochastic_sampling": true}"#,
        "'invert_sigmas' = true takes the noise for the data in 'stochastic_sampling'; use one of them"
      ),
      (
        #"{"_class_name": "DEISMultistepScheduler", "time_shift_type": "linear"}"#,
        "'time_shift_type' = 'linear' is nothing DEISMultistepScheduler can do here; use 'exponential'"
      ),
      (
        #"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}"#,
        "'algorithm_type' = 'dpmsolver' has no step to a last level of zero; use 'final_sigmas_type' = 'sigma_min'"
      ),
      (
        #"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver", "solver_order": 3, "final_sigmas_type": "sigma_min"}"#,
        "'solver_order' = 3 is not there for 'sde-dpmsolver'; use 1 or 2, or 'sde-dpmsolver++'"
      ),
      (
        #"{"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}"#,
        "'final_sigmas_type' has a last step that 'bh1', 'predict_x0' = false and 'lower_order_final' = false cannot take; use 'sigma_min', or 'bh2', true and true"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#,
        "what the model predicts does not tell the data at its first step, where there is no signal; use 'v_prediction' or 'sample' with 'rescale_betas_zero_snr'"
      ),
      (
        #"{"_class_name": "PNDMScheduler", "num_train_timesteps": 5}"#,
        "PNDMScheduler does not go 10 steps with these settings; use 4 to 5"
      ),
      (
        #"{"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"}"#,
        "'use_flow_sigmas' and 'prediction_type' do not go together; use 'flow_prediction' on flow sigmas, and there alone"
      ),
      (
        #"{"_class_name": "LMSDiscreteScheduler", "trained_betas": [0.1, 1]}"#,
        "'trained_betas' = [2 entries] are no variances; use two or more numbers between 0 and 1"
      ),
      (
        #"{"_class_name": "LMSDiscreteScheduler", "trained_betas": [0.1, 0.2, 0.3]}"#,
        "'trained_betas' = [3 entries] are not as many as 'num_train_timesteps', 1000; make them equal in number"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "beta_start": 1e999}"#,
        "its 'beta_start' cannot be used (a number that does not fit); use the scheduler_config.json of a diffusers model"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "beta_start": -Infinity}"#,
        "'beta_start' = -inf is no number that fits; use one from 1e-12 to 0.9999"
      ),
      (
        #"{"_class_name": "DDIMScheduler", "beta_start": NaN}"#,
        "'beta_start' = nan is no number that fits; use one from 1e-12 to 0.9999"
      ),
    ])
  func refused(_ json: String, _ expected: String) {
    #expect(sentence(json) == "scheduler_config.json: \(expected)")
  }

  @Test(
    "numbers that JSON has no word for may stand bare or as text, and words within texts stay",
    arguments: ["-Infinity", "\"-Infinity\"", "\"-inf\""])
  func infinite(_ text: String) throws {
    let file = try DiffusersTests.configuration(
      "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": \(text), \"a \\\" -Infinity\": [NaN, Infinity]}"
    )
    #expect(file.unknownKeys == ["a \" -Infinity"])
    let plain = try DiffusersTests.configuration(#"{"_class_name": "DPMSolverMultistepScheduler"}"#)
    #expect(try file.sampler(steps: 7).timesteps == plain.sampler(steps: 7).timesteps)
  }

  @Test("the largest share of noise is what some step just has room for, and a larger one is refused")
  func largestEta() throws {
    let file = try DiffusersTests.configuration(#"{"_class_name": "DDIMScheduler", "clip_sample": false}"#)
    let largest = try #require(file.largestEta(steps: 20))
    #expect(largest > 1 && largest < 2)
    let start = SplitMix(seed: 3).unit(DiffusersTests.shape)
    let run = try file.sampler(steps: 20, eta: largest).sample(from: start, noise: .seed(1)) { x, _ in 0.5 * x }
    #expect(run.outcome == .converged)
    let error = #expect(throws: ArrayFileError.self) { try file.sampler(steps: 20, eta: largest * 1.001) }
    #expect(error?.problem.hasSuffix("is more noise than a step of 20 has room for") == true)
    #expect(try DiffusersTests.configuration(#"{"_class_name": "PNDMScheduler"}"#).largestEta(steps: 20) == nil)
  }

  @Test(
    "where a trace of signal stands in place of none, the model is asked at that level",
    arguments: ["DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "EulerAncestralDiscrete"])
  func traceOfSignal(_ name: String) throws {
    let file = try DiffusersTests.configuration(
      "{\"_class_name\": \"\(name)Scheduler\", \"rescale_betas_zero_snr\": true, \"timestep_spacing\": \"trailing\"}")
    let sampler = try file.sampler(steps: 10)
    for (timestep, level) in zip(sampler.timesteps, sampler.noiseToSignal) {
      #expect(abs(file.schedule.kernel(at: timestep).noiseToSignal / level - 1) < 1e-4, "at \(timestep)")
    }
    #expect(abs(file.schedule.alpha(sampler.timesteps[0]) * 4096 - 1) < 1e-6)
  }

  @Test(
    "what a run is passed and its class has no use for is refused",
    arguments: [
      (
        #"{"_class_name": "PNDMScheduler"}"#, 0.5, nil,
        "PNDMScheduler has no eta; leave it out, or use 'DDIMScheduler'"
      ),
      (#"{"_class_name": "DDIMScheduler"}"#, -1, nil, "eta -1.0 is no share of noise; use 0 or a positive number"),
      (
        #"{"_class_name": "DDIMScheduler"}"#, 0, 1.15,
        "has no levels that mu 1.15 could shift; use one from 0.1 to 10 where 'use_dynamic_shifting' is true, and none "
          + "elsewhere"
      ),
      (
        #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true, "time_shift_type": "linear"}"#,
        0, -1,
        "has no levels that mu -1.0 could shift; use one from 0.1 to 10 where 'use_dynamic_shifting' is true, and none "
          + "elsewhere"
      ),
    ] as [(String, Double, Double?, String)])
  func passed(_ json: String, _ eta: Double, _ mu: Double?, _ expected: String) {
    let error = #expect(throws: ArrayFileError.self) {
      try DiffusersTests.configuration(json).sampler(steps: 5, eta: eta, mu: mu)
    }
    #expect(error?.description == "scheduler_config.json: \(expected)")
  }

  @Test("the shift of an image is e^μ or μ, in place of the file's")
  func dynamicShift() throws {
    func levels(_ text: String, _ mu: Double?) throws -> [Double] {
      try DiffusersTests.configuration(#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3\#(text)}"#)
        .sampler(steps: 4, mu: mu).timesteps
    }
    let dynamic = #", "use_dynamic_shifting": true"#
    let linear = dynamic + #", "time_shift_type": "linear""#
    let expected = [1.0, 0.667, 0.334, 0.001].map { 2e3 * $0 / (1 + $0) }
    for (a, b) in zip(try levels(dynamic, log(2)), expected) { #expect(abs(a - b) < 1e-4) }
    for (a, b) in zip(try levels(linear, 2), expected) { #expect(abs(a - b) < 1e-4) }
    #expect(try levels("", nil)[1] > expected[1])
  }

  @Test("levels of the other direction make the same samples of the same model asked backwards")
  func inverted() throws {
    let model = DiffusersTests.Model(base: GaussianMixtureDenoiser(try DiffusersTests.mixture.get(), on: .flowMatching))
    let start = SplitMix(seed: 3).unit(DiffusersTests.shape)
    func sampler(_ inverted: Bool) throws -> DiffusersSampler {
      try DiffusersTests.configuration(
        #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": \#(inverted)}"#
      ).sampler(steps: 6)
    }
    let (plain, other) = (try sampler(false), try sampler(true))
    for (a, b) in zip(plain.timesteps, other.timesteps) { #expect(abs(a + b - 1000) < 1e-9) }
    expectClose(
      other.sample(model, from: start, noise: .seed(1)).samples,
      plain.sample(model, from: start, noise: .seed(1)).samples,
      within: 1e-12)
  }

  @Test("names of another class's methods mean what diffusers takes them for")
  func aliases() throws {
    func levels(_ json: String) throws -> Tensor {
      let model = DiffusersTests.Model(base: GaussianMixtureDenoiser(try DiffusersTests.mixture.get(), on: .linearDDPM))
      let start = SplitMix(seed: 3).unit(DiffusersTests.shape)
      return try DiffusersTests.configuration(json).sampler(steps: 6).sample(model, from: start, noise: .seed(1))
        .samples
    }
    #expect(
      try levels(
        #"{"_class_name": "DEISMultistepScheduler", "algorithm_type": "dpmsolver++", "solver_type": "midpoint"}"#
      )
      .isIdentical(to: levels(#"{"_class_name": "DEISMultistepScheduler"}"#)))
    #expect(
      try levels(#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "deis", "solver_type": "logrho"}"#)
        .isIdentical(to: levels(#"{"_class_name": "DPMSolverMultistepScheduler"}"#)))
  }

  @Test(
    "a path holds the states, their levels and the estimates on the way", arguments: SchedulerConfiguration.classNames)
  func path(_ className: String) throws {
    let configuration = try DiffusersTests.configuration(#"{"_class_name": "\#(className)"}"#)
    let sampler = try configuration.sampler(steps: 6)
    let model = DiffusersTests.Model(
      base: GaussianMixtureDenoiser(try DiffusersTests.mixture.get(), on: configuration.schedule))
    let start = SplitMix(seed: 3).unit(DiffusersTests.shape)
    let run = sampler.sample(model, from: start, noise: .seed(1), keepingPath: true)
    let path = try #require(run.path)
    let steps = path.times.count - 1
    #expect(path.times == sampler.noiseToSignal)
    #expect(
      path.states.shape == [steps + 1] + DiffusersTests.shape && path.denoised.shape == [steps] + DiffusersTests.shape)
    expectClose(path.states[0], sampler.startScale * start, within: 0)
    expectClose(path.states[steps], run.samples, within: 0)
    // The estimates are near the data, the first states are not.
    #expect(path.denoised.abs().max().item < 2)
    // Without keeping it, and another time, the samples are the same.
    expectClose(sampler.sample(model, from: start, noise: .seed(1)).samples, run.samples, within: 0)
  }

  @Test("single precision stays single")
  func elementType() throws {
    let configuration = try DiffusersTests.configuration(#"{"_class_name": "DPMSolverMultistepScheduler"}"#)
    let start = SplitMix(seed: 3).unit(DiffusersTests.shape).to(.float32)
    let run = try configuration.sampler(steps: 6).sample(from: start, noise: .seed(1)) { x, _ in 0.5 * x }
    #expect(run.samples.elementType == .float32)
  }

  @Test("the continuous timesteps of v are a quarter of the logarithm of their levels")
  func continuous() throws {
    let configuration = try DiffusersTests.configuration(
      #"{"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": true, "sigma_min": 0.002, "sigma_max": 700}"#
    )
    let sampler = try configuration.sampler(steps: 5)
    for (timestep, level) in zip(sampler.timesteps, sampler.noiseToSignal) {
      #expect(abs(timestep - 0.25 * log(level)) < 1e-6)
    }
    #expect(abs(sampler.noiseToSignal[0] - 700) < 1e-3 && abs(sampler.noiseToSignal[4] - 0.002) < 1e-8)
  }

  @Test("thresholding divides by the quantile of the magnitudes, which is 0.995 and at most 1 where nothing is said")
  func threshold() throws {
    let data = Tensor((0..<200).map { Double($0) / 100 }, shape: [1, 200])
    func limited(_ more: String) throws -> Tensor {
      let json =
        #"{"_class_name": "DDIMScheduler", "prediction_type": "sample", "thresholding": true, "clip_sample": false"#
        + more
        + "}"
      return try DiffusersTests.configuration(json).sampler(steps: 1).sample(from: data, noise: .given([])) { _, _ in
        data
      }
      .samples
    }
    expectClose(try limited(""), data.clamped(nil, 1), within: 1e-14)
    let bound = 0.995 * 1.99
    expectClose(try limited(#", "sample_max_value": 3"#), data.clamped(nil, bound) / bound, within: 1e-13)
    expectClose(try limited(#", "sample_max_value": 1.5"#), data.clamped(nil, 1.5) / 1.5, within: 1e-13)
  }
}
