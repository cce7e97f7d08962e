// Names the speakers of 16-bit WAV clips: ./identify model.onnx clip.wav ...
// c++ -std=c++17 -I INCLUDE identify.cpp -L LIB -lonnxruntime -o identify, with ONNX Runtime's headers.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include "onnxruntime_cxx_api.h"

// The number at the first such key behind another one in the metadata; NAN if there is none, or null.
double number(const std::string& json, const std::string& behind, const std::string& key) {
  size_t at = json.find("\"" + key + "\":", json.find(behind));
  return at == std::string::npos || json[at += key.size() + 3] == 'n' ? NAN : std::stod(json.substr(at, 40));
}

std::string label(const std::string& json, size_t index) {  // the names, in class order: "a","b"
  size_t at = json.find("\"labels\":[\"") + 11;
  for (; index; at++)
    if (json[at] == '\\') at++; else if (json[at] == '"') at += 2, index--;
  return json.substr(at, json.find('"', at) - at);
}

// The log-odds that the clip is by one of the speakers at all, less those of 5 % of strangers.
double margin(const std::string& json, std::vector<float> logits, double seconds) {
  auto t = [&](const char* key) { return number(json, "\"thresholds\":{\"accept\":", key); };
  size_t kept = std::min<size_t>(6, logits.size());
  std::sort(logits.rbegin(), logits.rend());
  double lead = logits[0], length = std::log(std::min(seconds, t("window_seconds")));
  for (size_t i = 1; i < kept; i++) lead -= logits[i] / (kept - 1);
  return t("bias") + t("best") * logits[0] + t("lead") * lead + t("log_seconds") * length - t("0.05");
}

std::vector<float> read_wav(const std::string& path, int rate) {
  std::ifstream file(path, std::ios::binary); std::vector<float> samples; int16_t head[22] = {}, sample;
  file.read(reinterpret_cast<char*>(head), 44);
  if (std::memcmp(head + 18, "data", 4) || head[10] != 1 || head[11] != 1 || head[17] != 16 || uint16_t(head[12]) + 65536 * head[13] != rate)
    throw std::runtime_error(path + " is no plain 16-bit mono WAV file at the model's rate");
  while (file.read(reinterpret_cast<char*>(&sample), 2)) samples.push_back(sample / 32768.0f);
  return samples;
}

int main(int count, char** args) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  Ort::Session session(env, args[1], Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions heap;
  std::string json = session.GetModelMetadata().LookupCustomMetadataMapAllocated("voxedge", heap).get();
  int rate = number(json, "\"precision\":\"", "sample_rate");
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const char *in[] = {"pcm"}, *out[] = {"logits", "probabilities"};
  for (int clip = 2; clip < count; clip++) {
    auto samples = read_wav(args[clip], rate); int64_t shape[] = {1, int64_t(samples.size())};
    auto pcm = Ort::Value::CreateTensor<float>(memory, samples.data(), samples.size(), shape, 2);
    auto found = session.Run(Ort::RunOptions{nullptr}, in, &pcm, 1, out, 2);
    const float *logits = found[0].GetTensorData<float>(), *probabilities = found[1].GetTensorData<float>();
    size_t classes = found[0].GetTensorTypeAndShapeInfo().GetElementCount(), best = std::max_element(logits, logits + classes) - logits;
    bool known = !(margin(json, {logits, logits + classes}, samples.size() / double(rate)) < 0);  // NAN: no threshold
    std::cout << (known ? label(json, best) + " " + std::to_string(probabilities[best]) : "nobody I know") << "\n";
  }
}
