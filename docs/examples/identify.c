// Names the speakers of 16-bit WAV clips: ./identify model.onnx clip.wav ...
// cc -I INCLUDE identify.c -L LIB -lonnxruntime -lm -o identify, with ONNX Runtime's header and library.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "onnxruntime_c_api.h"
#define MOST (1 << 24)  // samples of a clip
#define OK(call) do { OrtStatus* s = (call); if (s) { fputs(ort->GetErrorMessage(s), stderr); exit(1); } } while (0)

// The number at the first such key behind another one in the metadata; NAN if there is none, or null.
static double number(const char* json, const char* behind, const char* key) {
  const char* at = (at = strstr(json, behind)) ? strstr(at, key) : NULL;
  return at && at[strlen(key)] != 'n' ? strtod(at + strlen(key), NULL) : NAN;
}

// The log-odds that the clip is by one of the speakers at all, less those of 5 % of strangers.
#define T(key) number(json, "\"thresholds\":{\"accept\":", "\"" key "\":")
static double margin(const char* json, const float* logits, size_t classes, double seconds) {
  double top[7], others = 0, window = number(json, "\"thresholds\":", "\"window_seconds\":"); size_t kept = 0;
  for (size_t i = 0, at; i < classes; i++, kept += kept < 6) {
    for (at = kept; at > 0 && top[at - 1] < logits[i]; at--) top[at] = top[at - 1];
    top[at] = logits[i]; }
  for (size_t i = 1; i < kept; i++) others += top[i] / (kept - 1);
  return T("bias") + T("best") * top[0] + T("lead") * (top[0] - others) + T("log_seconds") * log(fmin(seconds, window)) - T("0.05");
}

static int64_t read_wav(const char* path, double rate, float* samples) {  // how many samples, or 0
  int16_t head[22], sample; int64_t count = 0; FILE* file = fopen(path, "rb");
  if (file && fread(head, 1, 44, file) == 44 && !memcmp(head + 18, "data", 4) && head[10] == 1 && head[11] == 1
      && head[17] == 16 && (uint16_t)head[12] + 65536 * head[13] == rate)
    while (count < MOST && fread(&sample, 1, 2, file) == 2) samples[count++] = sample / 32768.0f;
  return file ? (fclose(file), count) : 0;
}

int main(int count, char** args) {
  const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  OrtEnv* env; OrtSessionOptions* options; OrtSession* session; OrtModelMetadata* about; OrtAllocator* heap; OrtMemoryInfo* memory;
  char* json; const char *in[] = {"pcm"}, *out[] = {"logits", "probabilities"}; float *samples = malloc(MOST * sizeof(float)), *logits, *probabilities;
  OK(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "voxedge", &env)); OK(ort->CreateSessionOptions(&options));
  OK(ort->CreateSession(env, args[1], options, &session)); OK(ort->SessionGetModelMetadata(session, &about));
  OK(ort->GetAllocatorWithDefaultOptions(&heap)); OK(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  OK(ort->ModelMetadataLookupCustomMetadataMap(about, heap, "voxedge", &json));
  double rate = number(json, "\"precision\":\"", "\"sample_rate\":");
  for (int clip = 2; clip < count; clip++) {
    int64_t shape[] = {1, read_wav(args[clip], rate, samples)}; size_t classes, best = 0;
    OrtValue *pcm = NULL, *found[2] = {NULL, NULL}; OrtTensorTypeAndShapeInfo* info;
    if (!shape[1]) { fprintf(stderr, "%s is no plain 16-bit mono WAV file of %g Hz\n", args[clip], rate); return 1; }
    OK(ort->CreateTensorWithDataAsOrtValue(memory, samples, shape[1] * sizeof(float), shape, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &pcm));
    OK(ort->Run(session, NULL, in, (const OrtValue* const*)&pcm, 1, out, 2, found)); OK(ort->GetTensorTypeAndShape(found[0], &info));
    OK(ort->GetTensorShapeElementCount(info, &classes)); ort->ReleaseTensorTypeAndShapeInfo(info); ort->ReleaseValue(pcm);
    OK(ort->GetTensorMutableData(found[0], (void**)&logits)); OK(ort->GetTensorMutableData(found[1], (void**)&probabilities));
    for (size_t i = 1; i < classes; i++) best = logits[i] > logits[best] ? i : best;
    const char *name = strstr(json, "\"labels\":[\"") + 11;  // the names, in class order: "a","b"
    for (size_t skip = best; skip; name++) { if (*name == '\\') name++; else if (*name == '"') name += 2, skip--; }
    if (margin(json, logits, classes, shape[1] / rate) < 0) printf("nobody I know\n");  // without a threshold NAN: always a name
    else printf("%.*s %.4f\n", (int)strcspn(name, "\""), name, probabilities[best]);
    ort->ReleaseValue(found[0]); ort->ReleaseValue(found[1]); }
}
