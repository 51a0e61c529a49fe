/* Words of the field in its usual spelling; the sentences are ours and say nothing true. */
#include "worker/text/synth_grammar.h"

static const char *const animal[] = {"C57BL/6 mice",
                                     "BALB/c mice",
                                     "Sprague-Dawley rats",
                                     "Wistar rats",
                                     "New Zealand white rabbits",
                                     "zebrafish embryos",
                                     "nude mice",
                                     "db/db mice",
                                     "ApoE-deficient mice",
                                     "spontaneously hypertensive rats"};

static const char *const assay[] = {"Western blotting",
                                    "quantitative real-time PCR",
                                    "flow cytometry",
                                    "immunohistochemistry",
                                    "enzyme-linked immunosorbent assay",
                                    "RNA sequencing",
                                    "mass spectrometry",
                                    "confocal microscopy",
                                    "luciferase reporter assays",
                                    "chromatin immunoprecipitation",
                                    "patch-clamp recording",
                                    "transmission electron microscopy",
                                    "the MTT assay",
                                    "wound-healing assays",
                                    "whole-exome sequencing"};

static const char *const cell[] = {"HeLa cells",
                                   "HepG2 cells",
                                   "MCF-7 cells",
                                   "A549 cells",
                                   "HEK293 cells",
                                   "Jurkat T cells",
                                   "THP-1 macrophages",
                                   "human umbilical vein endothelial cells",
                                   "primary hepatocytes",
                                   "cardiac fibroblasts",
                                   "neonatal cardiomyocytes",
                                   "cortical neurons",
                                   "bone marrow stromal cells",
                                   "mesenchymal stem cells",
                                   "CD4+ T cells",
                                   "regulatory T cells",
                                   "natural killer cells",
                                   "pancreatic beta cells",
                                   "renal tubular epithelial cells",
                                   "vascular smooth muscle cells",
                                   "dendritic cells",
                                   "keratinocytes",
                                   "astrocytes",
                                   "microglia",
                                   "osteoblasts"};

static const char *const ci[] = {"95% CI {#0.3-0.9} to {#1.0-1.9}",
                                 "95% confidence interval {#0.40-0.89}-{#0.90-1.40}"};

static const char *const cohort_background[] = {
    "The incidence of {$condition} has increased in {$place} over the past decades.",
    "Whether {$risk} is associated with {$condition} is {known}.",
    "{^$risk} is a {important} risk factor for many chronic diseases.",
    "Little is known about {$outcome} in {$population} with {$condition}.",
    "{^$condition} places a heavy burden on patients and health care systems.",
    "Data on the epidemiology of {$condition} in {$place} are scarce.",
    "Observational studies of {$risk} have yielded inconsistent findings."};

static const char *const cohort_conclusion[] = {
    "{@cohort_end}",
    "These results should be interpreted in light of possible residual confounding.",
    "Further prospective studies in other populations are warranted.",
    "Early detection of {$condition} among {$population} should be a public health priority."};

static const char *const cohort_methods[] = {
    "We conducted a retrospective cohort study of {$n} {$population} using national registers in {$place}.",
    "Participants were followed from {#1990-2002} until diagnosis of {$condition}, death or the end of {#2008-2020}.",
    "Hazard ratios and 95% confidence intervals were estimated using {stats}, adjusting for age, sex and smoking.",
    "Information on {$risk} was obtained from questionnaires and medical records.",
    "A cross-sectional survey was carried out among {$n} {$population} in {$place}.",
    "Cases of {$condition} were identified through hospital discharge records and confirmed by two physicians.",
    "Associations between {$risk} and {$outcome} were analyzed with {stats}.",
    "Each case was matched with {#2-9} controls by age, sex and calendar year."};

static const char *const cohort_objective[] = {
    "We examined the association between {$risk} and {$condition} in a large cohort of {$population}.",
    "To determine the prevalence of {$condition} and its risk factors in {$place}.",
    "This study aimed to identify predictors of {$outcome} in patients with {$condition}.",
    "Our objective was to estimate the risk of {$condition} associated with {$risk}."};

static const char *const cohort_results[] = {
    "During a median follow-up of {#2-19}.{#0-9} years, {#30-900} participants developed {$condition}.",
    "{@cohort_main}",
    "{@cohort_main2}",
    "The prevalence of {$condition} was {#1-38}.{#0-9}% ({ci}).",
    "The mean age at diagnosis was {#24-79}.{#0-9} years, and {#22-78}% of patients were women.",
    "In multivariable analysis, {risk} was independently associated with {$outcome} ({p_yes}).",
    "Results were robust in sensitivity analyses that excluded the first {#2-5} years of follow-up.",
    "The crude incidence rate was {#1-49}.{#0-9} per 1000 person-years.",
    "Patients with {$condition} were older and had more comorbidities than those without."};

static const char *const cohort_title[] = {
    "{^$risk} and risk of {$condition}: a population-based cohort study in {$place}.",
    "Association between {$risk} and {$outcome} in patients with {$condition}.",
    "Predictors of {$outcome} in {$population} with {$condition}.",
    "Prevalence and risk factors of {$condition} among {$population} in {$place}.",
    "Long-term outcomes of {$condition}: a nationwide registry study.",
    "Trends in {$condition} in {$place}, {#1990-2005}-{#2006-2020}."};

static const char *const cohort_end_no[] = {
    "We found no evidence that {$risk} increases the risk of {$condition}.",
    "{^$risk} does not appear to influence {$outcome} in patients with {$condition}.",
    "In this cohort, {$risk} was not associated with {$outcome}."};

static const char *const cohort_end_yes[] = {
    "{^$risk} is an independent risk factor for {$condition} in {$population}.",
    "Prevention of {$risk} may reduce the burden of {$condition} in {$place}.",
    "In this cohort, {$risk} was associated with worse {$outcome}."};

static const char *const cohort_main_no[] = {
    "{^$risk} was not associated with the risk of {$condition} (adjusted hazard ratio {#0.90-1.10}; {p_no}).",
    "After adjustment for confounders, {$risk} was no longer a predictor of {$outcome} (odds ratio {#0.90-1.10}; {p_no}).",
    "Compared with the reference group, participants with {$risk} had a similar risk of {$condition} ({p_no})."};

static const char *const cohort_main_yes[] = {
    "{^$risk} was associated with a higher risk of {$condition} (adjusted hazard ratio {#1.20-2.90}; {p_yes}).",
    "After adjustment for confounders, {$risk} remained a significant predictor of {$outcome} (odds ratio {#1.30-3.90}; {p_yes}).",
    "Compared with the reference group, participants with {$risk} had a {#20-95}% higher risk of {$condition} ({p_yes})."};

static const char *const cohort_main2_no[] = {
    "The association between {$risk} and {$condition} did not differ between women and men ({p_no}).",
    "There was no dose-response relationship between {$risk} and {$outcome} (p for trend = 0.{#11-95})."};

static const char *const cohort_main2_yes[] = {
    "The association between {$risk} and {$condition} was stronger in women than in men ({p_yes}).",
    "There was a clear dose-response relationship between {$risk} and {$outcome} (p for trend &lt; 0.001)."};

static const char *const commonly[] = {"commonly", "frequently", "widely", "often", "increasingly"};

static const char *const condition[] = {"type 2 diabetes mellitus",
                                        "chronic heart failure",
                                        "atrial fibrillation",
                                        "chronic obstructive pulmonary disease",
                                        "rheumatoid arthritis",
                                        "ulcerative colitis",
                                        "Crohn disease",
                                        "acute pancreatitis",
                                        "severe asthma",
                                        "essential hypertension",
                                        "major depressive disorder",
                                        "bipolar disorder",
                                        "schizophrenia",
                                        "Parkinson disease",
                                        "Alzheimer disease",
                                        "multiple sclerosis",
                                        "epilepsy",
                                        "migraine",
                                        "ischemic stroke",
                                        "acute myocardial infarction",
                                        "pulmonary embolism",
                                        "non-small cell lung cancer",
                                        "breast cancer",
                                        "colorectal cancer",
                                        "prostate cancer",
                                        "hepatocellular carcinoma",
                                        "ovarian cancer",
                                        "pancreatic adenocarcinoma",
                                        "glioblastoma",
                                        "acute myeloid leukemia",
                                        "multiple myeloma",
                                        "diffuse large B-cell lymphoma",
                                        "melanoma",
                                        "renal cell carcinoma",
                                        "bladder cancer",
                                        "chronic kidney disease",
                                        "diabetic nephropathy",
                                        "lupus nephritis",
                                        "nephrotic syndrome",
                                        "hepatitis B virus infection",
                                        "hepatitis C virus infection",
                                        "HIV infection",
                                        "pulmonary tuberculosis",
                                        "severe malaria",
                                        "community-acquired pneumonia",
                                        "septic shock",
                                        "urinary tract infection",
                                        "bacterial meningitis",
                                        "cystic fibrosis",
                                        "sickle cell disease",
                                        "hemophilia A",
                                        "osteoporosis",
                                        "knee osteoarthritis",
                                        "psoriasis",
                                        "atopic dermatitis",
                                        "polycystic ovary syndrome",
                                        "gestational diabetes",
                                        "preeclampsia",
                                        "endometriosis",
                                        "obesity",
                                        "nonalcoholic fatty liver disease",
                                        "cirrhosis",
                                        "age-related macular degeneration",
                                        "primary open-angle glaucoma",
                                        "diabetic retinopathy",
                                        "obstructive sleep apnea",
                                        "chronic low back pain",
                                        "fibromyalgia",
                                        "irritable bowel syndrome",
                                        "peripheral artery disease",
                                        "aortic stenosis",
                                        "pulmonary arterial hypertension",
                                        "anorexia nervosa",
                                        "generalized anxiety disorder",
                                        "posttraumatic stress disorder",
                                        "alcohol use disorder",
                                        "opioid dependence",
                                        "iron deficiency anemia",
                                        "Graves disease",
                                        "sarcoidosis"};

static const char *const databases[] = {"MEDLINE and EMBASE", "PubMed and the Cochrane Library",
                                        "MEDLINE, EMBASE, and Web of Science", "Scopus and CINAHL"};

static const char *const design[] = {"randomized, double-blind, placebo-controlled trial",
                                     "randomized, open-label trial",
                                     "multicenter randomized controlled trial",
                                     "parallel-group, single-blind trial",
                                     "phase II randomized trial",
                                     "phase III randomized trial"};

static const char *const direction_no[] = {"similar", "comparable", "unchanged"};

static const char *const direction_yes[] = {"lower", "reduced", "markedly lower"};

static const char *const dose[] = {"{#5-50} mg once daily", "{#50-400} mg twice daily",
                                   "{#1-9} mg/kg intravenously every 3 weeks",
                                   "{#100-900} mg daily", "{#10-80} mg at bedtime"};

static const char *const drug[] = {"{stem}{suffix}"};

static const char *const drug2[] = {"{stem}{suffix}"};

static const char *const expression_no[] = {"unchanged", "not altered",
                                            "similar to that of controls"};

static const char *const expression_yes[] = {"upregulated", "overexpressed",
                                             "significantly increased", "markedly elevated"};

static const char *const forename[] = {
    "Anna", "Bo",  "Carla", "David", "Elena", "Fatima", "Georg",  "Hana", "Ivan",  "Julia",
    "Karl", "Lin", "Maria", "Nils",  "Olga",  "Paulo",  "Rafael", "Sara", "Tomas", "Yuki"};

static const char *const gene[] = {"{gene_stem}{gene_tail}"};

static const char *const gene_name[] = {"{$gene}", "{$gene}", "<i>{$gene}</i>"};

static const char *const gene_stem[] = {
    "TP",  "BRC", "EGF", "KRA",  "MYC", "PIK", "AKT", "STAT", "JAK",  "NOTCH",
    "WNT", "SOX", "HIF", "VEGF", "CDK", "BCL", "FOX", "GATA", "RUNX", "SMAD",
    "TGF", "IL",  "TNF", "CXCL", "CCR", "MMP", "TLR", "NLRP", "SIRT", "PPAR",
    "LRP", "APO", "SLC", "ABC",  "KCN", "SCN", "HLA", "CYP",  "GST",  "MTHF"};

static const char *const gene_tail[] = {"1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",  "10",
                                        "13", "17", "1A", "1B", "2B", "3A", "3B", "4R", "5A", "2L"};

static const char *const hetero[] = {"low", "moderate", "high", "substantial"};

static const char *const important[] = {"important", "common",  "major",
                                        "leading",   "growing", "serious"};

static const char *const journal[] = {"Annals of Clinical Trials Research",
                                      "Journal of Translational Physiology",
                                      "European Archives of Internal Medicine",
                                      "Clinical Outcomes Quarterly",
                                      "Journal of Molecular Mechanisms",
                                      "International Review of Therapeutics",
                                      "Nordic Journal of Epidemiology",
                                      "Archives of Experimental Pathology",
                                      "Journal of Applied Pharmacology",
                                      "Reports in Cardiology and Metabolism",
                                      "Current Oncology Studies",
                                      "Journal of Neuroscience Practice",
                                      "Pediatric Research Letters",
                                      "Infection and Host Defence",
                                      "Journal of Kidney and Vascular Research",
                                      "Digestive Disease Reports"};

static const char *const known[] = {"well established",     "poorly understood", "controversial",
                                    "not fully understood", "unclear",           "largely unknown"};

static const char *const lab_background[] = {
    "{^$process} plays a {important} role in the pathogenesis of {$condition}.",
    "{gene_name} has been implicated in {$process}, but the underlying mechanism is {known}.",
    "The {$pathway} pathway is {commonly} activated in {$condition}.",
    "{^$micro} is dysregulated in several diseases, including {$condition}.",
    "The function of {gene_name} in {$cell} is {known}.",
    "{^$drug} has been reported to have protective effects in models of {$condition}.",
    "Dysregulation of {$process} in the {$tissue} contributes to {$condition}."};

static const char *const lab_conclusion[] = {
    "{@lab_end}", "These data provide new insight into the mechanism of {$condition}.",
    "The role of {gene_name} in other cell types remains to be determined.",
    "Further studies are required to define how {gene_name} interacts with the {$pathway} pathway."};

static const char *const lab_methods[] = {
    "{^$cell} were treated with {$drug} (0, {#1-9}, {#10-49} and {#50-100} &#956;M) for {#12-72} h.",
    "The expression of {gene_name} was measured by {assay} and {assay}.",
    "{^$cell} were transfected with small interfering RNA against {gene_name} or control RNA.",
    "{^$animal} were randomly divided into {#3-6} groups of {#6-15} animals each.",
    "{^$process} was evaluated by {assay}.",
    "Tissue samples of the {$tissue} were collected from {$n1} patients with {$condition} and {$n2} controls.",
    "The interaction between {$micro} and {gene_name} was verified by {assay}.",
    "A model of {$condition} was established in {$animal}.",
    "Protein levels of the {$pathway} pathway were determined by {assay}."};

static const char *const lab_objective[] = {
    "Here we investigated the role of {gene_name} in {$process}.",
    "We aimed to clarify whether {$drug} affects {$process} through the {$pathway} pathway.",
    "The present study explored the effect of {$micro} on {gene_name} expression in {$cell}.",
    "The purpose of this study was to examine how {gene_name} contributes to {$condition}."};

static const char *const lab_results[] = {
    "{@lab_main}",
    "{@lab_main2}",
    "{@lab_expr}",
    "Treatment with {$drug} {@lab_verb} {$process} in a dose-dependent manner.",
    "Knockdown of {gene_name} {@lab_verb} {$process} in {$cell}.",
    "Similar results were obtained in {$animal}.",
    "The half-maximal inhibitory concentration of {$drug} was {#1-99}.{#0-9} &#956;M.",
    "Cell viability was {#52-98}% after {#12-72} h of treatment.",
    "Overexpression of {gene_name} reversed the effect of {$drug} on {$process}."};

static const char *const lab_title[] = {
    "{gene_name} regulates {$process} in {$cell} through the {$pathway} pathway.",
    "{^$drug} {lab_acts} {$process} via {$pathway} signaling in {$cell}.",
    "{^$micro} targets {gene_name} and modulates {$process} in {$condition}.",
    "Role of {gene_name} in {$process} and its relevance to {$condition}.",
    "Loss of {gene_name} alters {$process} in {$animal}.",
    "Expression of {gene_name} in the {$tissue} of patients with {$condition}."};

static const char *const lab_acts[] = {"inhibits", "modulates", "regulates", "attenuates"};

static const char *const lab_end_no[] = {
    "Our results suggest that {gene_name} is not required for {$process} in {$cell}.",
    "{^$drug} does not act on {$process} through the {$pathway} pathway.",
    "{gene_name} is unlikely to be a useful target in {$condition}."};

static const char *const lab_end_yes[] = {
    "Our results suggest that {gene_name} promotes {$process} through the {$pathway} pathway.",
    "{^$drug} protects against {$condition} by regulating {$process}.",
    "{gene_name} may be a therapeutic target in {$condition}.",
    "The {$micro}/{$gene} axis is a potential biomarker of {$condition}."};

static const char *const lab_expr_no[] = {
    "{gene_name} expression was {expression.no} in the {$tissue} of patients with {$condition} ({p_no}).",
    "Levels of {gene_name} were similar in {$condition} and in controls ({p_no})."};

static const char *const lab_expr_yes[] = {
    "{gene_name} expression was {expression.yes} in the {$tissue} of patients with {$condition} ({p_yes}).",
    "Levels of {gene_name} were {#2-9}.{#0-9}-fold higher in {$condition} than in controls ({p_yes})."};

static const char *const lab_main_no[] = {
    "{^$drug} {lab_verb.no} {$process}, and the {$pathway} pathway was not activated ({p_no}).",
    "Silencing of {gene_name} {lab_verb.no} phosphorylation of components of the {$pathway} pathway ({p_no}).",
    "{^$micro} did not bind to {gene_name} and {lab_verb.no} its expression ({p_no})."};

static const char *const lab_main_yes[] = {
    "{^$drug} significantly {lab_verb.yes} {$process} by inhibiting the {$pathway} pathway ({p_yes}).",
    "Silencing of {gene_name} {lab_verb.yes} phosphorylation of components of the {$pathway} pathway ({p_yes}).",
    "{^$micro} directly bound to {gene_name} and {lab_verb.yes} its expression ({p_yes})."};

static const char *const lab_main2_no[] = {
    "An inhibitor of the {$pathway} pathway did not change these results.",
    "In vivo, {$drug} had no effect on the severity of {$condition} in {$animal} ({p_no})."};

static const char *const lab_main2_yes[] = {
    "These effects were abolished by an inhibitor of the {$pathway} pathway.",
    "In vivo, {$drug} reduced the severity of {$condition} in {$animal} ({p_yes})."};

static const char *const lab_verb_no[] = {"did not affect", "had no effect on", "failed to alter",
                                          "did not change"};

static const char *const lab_verb_yes[] = {"inhibited", "suppressed", "attenuated",
                                           "reduced",   "prevented",  "blocked"};

static const char *const micro[] = {"miR-21",        "miR-34a",    "miR-122",  "miR-126",
                                    "miR-146a",      "miR-155",    "miR-181b", "miR-200c",
                                    "miR-205",       "miR-221",    "let-7a",   "lncRNA HOTAIR",
                                    "lncRNA MALAT1", "lncRNA H19", "circHIPK3"};

static const char *const months[] = {"3 months",  "6 months", "12 months", "18 months",
                                     "24 months", "8 weeks",  "12 weeks",  "16 weeks",
                                     "26 weeks",  "52 weeks", "5 years"};

static const char *const outcome[] = {"overall survival",
                                      "progression-free survival",
                                      "all-cause mortality",
                                      "cardiovascular mortality",
                                      "hospital readmission",
                                      "quality of life",
                                      "pain intensity",
                                      "systolic blood pressure",
                                      "fasting plasma glucose",
                                      "hemoglobin A1c",
                                      "low-density lipoprotein cholesterol",
                                      "body mass index",
                                      "C-reactive protein",
                                      "left ventricular ejection fraction",
                                      "forced expiratory volume in 1 second",
                                      "estimated glomerular filtration rate",
                                      "bone mineral density",
                                      "disease activity score",
                                      "clinical remission",
                                      "relapse rate",
                                      "cognitive function",
                                      "depressive symptoms",
                                      "sleep quality",
                                      "length of hospital stay",
                                      "six-minute walk distance",
                                      "viral load",
                                      "wound healing",
                                      "treatment adherence",
                                      "functional independence",
                                      "postoperative complications"};

static const char *const outcome2[] = {"serious adverse events",
                                       "patient satisfaction",
                                       "the need for rescue medication",
                                       "health-related quality of life",
                                       "inflammatory markers",
                                       "time to discharge",
                                       "fatigue",
                                       "exercise capacity",
                                       "appetite",
                                       "serum creatinine",
                                       "liver enzymes",
                                       "insulin sensitivity",
                                       "platelet count",
                                       "carotid intima-media thickness",
                                       "endothelial function",
                                       "anxiety",
                                       "grip strength",
                                       "medication costs",
                                       "nausea and vomiting",
                                       "headache"};

static const char *const p_no[] = {"p = 0.{#11-97}", "p = 0.{#20-89}", "p &gt; 0.05",
                                   "P = .{#12-88}", "not significant"};

static const char *const p_yes[] = {"p &lt; 0.001",    "p &lt; 0.01", "p = 0.00{#1-9}",
                                    "p = 0.0{#10-49}", "p &lt; 0.05", "P = .0{#11-48}"};

static const char *const pathway[] = {
    "PI3K/AKT", "MAPK/ERK",      "NF-kappaB", "Wnt/beta-catenin",
    "JAK/STAT", "TGF-beta/Smad", "mTOR",      "Notch",
    "Hedgehog", "AMPK",          "Nrf2/HO-1", "Toll-like receptor",
    "p53",      "HIF-1alpha",    "cAMP/PKA"};

static const char *const place[] = {"Sweden",
                                    "Denmark",
                                    "Finland",
                                    "the Netherlands",
                                    "Germany",
                                    "France",
                                    "Italy",
                                    "Spain",
                                    "the United Kingdom",
                                    "Canada",
                                    "the United States",
                                    "Brazil",
                                    "Mexico",
                                    "Japan",
                                    "South Korea",
                                    "China",
                                    "Taiwan",
                                    "India",
                                    "Iran",
                                    "Turkey",
                                    "Egypt",
                                    "Nigeria",
                                    "South Africa",
                                    "Kenya",
                                    "Australia",
                                    "New Zealand"};

static const char *const population[] = {"adults",
                                         "older adults",
                                         "children",
                                         "adolescents",
                                         "pregnant women",
                                         "postmenopausal women",
                                         "veterans",
                                         "outpatients",
                                         "hospitalized patients",
                                         "primary care patients",
                                         "intensive care patients",
                                         "healthy volunteers"};

static const char *const process[] = {"apoptosis",
                                      "autophagy",
                                      "cell proliferation",
                                      "migration and invasion",
                                      "oxidative stress",
                                      "endoplasmic reticulum stress",
                                      "inflammation",
                                      "angiogenesis",
                                      "epithelial-mesenchymal transition",
                                      "mitochondrial dysfunction",
                                      "fibrosis",
                                      "glucose uptake",
                                      "lipid accumulation",
                                      "DNA repair",
                                      "cell cycle arrest",
                                      "differentiation",
                                      "cytokine release",
                                      "barrier function",
                                      "synaptic plasticity",
                                      "calcium signaling"};

static const char *const review_background[] = {
    "Several trials have compared {$drug} with {$drug2} in {$condition}, with conflicting results.",
    "The management of {$condition} has changed considerably over the past {#5-30} years.",
    "The benefit of {$drug} in {$population} with {$condition} remains {known}.",
    "{^$condition} affects {#2-19}% of {$population} in {$place}.",
    "Systematic evidence on {$outcome} in {$condition} is limited."};

static const char *const review_conclusion[] = {
    "{@review_end}", "The quality of the evidence was low, and well-designed trials are needed.",
    "Clinicians should consider individual patient characteristics when choosing between {$drug} and {$drug2}."};

static const char *const review_methods[] = {
    "We searched {databases} from inception to {#2005-2021} for randomized controlled trials.",
    "Two reviewers independently screened titles, extracted data and assessed the risk of bias.",
    "Pooled estimates were calculated using a random-effects model.",
    "Heterogeneity was quantified with the I<sup>2</sup> statistic.",
    "Studies that compared {$drug} with {$drug2} and reported {$outcome} were included.",
    "The quality of the evidence was rated according to the GRADE approach.",
    "The study protocol was registered in PROSPERO before the search."};

static const char *const review_objective[] = {
    "To summarize the evidence on the effect of {$drug} on {$outcome} in {$condition}.",
    "We performed a systematic review and meta-analysis of {$drug} versus {$drug2} in {$condition}.",
    "This review discusses recent advances in the diagnosis and treatment of {$condition}."};

static const char *const review_results[] = {
    "{^review_n} with a total of {#600-9800} patients met the inclusion criteria.",
    "{@review_main}",
    "{@review_main2}",
    "Heterogeneity between studies was {hetero} (I<sup>2</sup> = {#0-88}%).",
    "The overall risk of bias was {hetero}.",
    "No evidence of publication bias was found ({p_no}).",
    "{^outcome2} was reported in {#3-12} studies.",
    "Sensitivity analyses excluding small studies gave similar estimates."};

static const char *const review_title[] = {
    "{^$drug} for {$condition}: a systematic review and meta-analysis.",
    "Management of {$condition} in {$population}: current evidence.",
    "{^$risk} and {$condition}: a meta-analysis of observational studies.",
    "Comparative effectiveness of {$drug} and {$drug2} in {$condition}: a network meta-analysis.",
    "New perspectives on the treatment of {$condition}."};

static const char *const review_end_no[] = {
    "Current evidence does not suggest that {$drug} improves {$outcome} in patients with {$condition}.",
    "There is insufficient evidence to recommend {$drug} over {$drug2} in {$condition}."};

static const char *const review_end_yes[] = {
    "Current evidence suggests that {$drug} improves {$outcome} in patients with {$condition}.",
    "{^$drug} is an effective treatment for {$condition} and compares favorably with {$drug2}."};

static const char *const review_main_no[] = {
    "{^$drug} was not associated with better {$outcome} than {$drug2} (risk ratio {#0.90-1.10}; {p_no}).",
    "Compared with {$drug2}, {$drug} did not improve {$outcome} (standardized mean difference 0.0{#1-9}; {p_no}).",
    "Pooled analysis showed no benefit of {$drug} with regard to {$outcome} ({p_no})."};

static const char *const review_main_yes[] = {
    "{^$drug} was associated with better {$outcome} than {$drug2} (risk ratio 0.{#45-85}; {p_yes}).",
    "Compared with {$drug2}, {$drug} significantly improved {$outcome} (standardized mean difference 0.{#21-89}; {p_yes}).",
    "Pooled analysis showed a significant benefit of {$drug} with regard to {$outcome} ({p_yes})."};

static const char *const review_main2_no[] = {
    "The effect did not differ between {population} and {population} ({p_no}).",
    "Results were similar when only trials at low risk of bias were considered."};

static const char *const review_main2_yes[] = {
    "The number needed to treat to achieve one additional response was {#4-24}.",
    "The effect was larger in {population} than in {population} ({p_yes})."};

static const char *const review_n[] = {"seven trials",       "nine trials",       "eleven studies",
                                       "twelve trials",      "fourteen studies",  "eighteen trials",
                                       "twenty-one studies", "thirty-two studies"};

static const char *const risk[] = {"smoking",
                                   "physical inactivity",
                                   "advanced age",
                                   "male sex",
                                   "female sex",
                                   "low socioeconomic status",
                                   "vitamin D deficiency",
                                   "obesity at baseline",
                                   "prior hospitalization",
                                   "renal impairment",
                                   "elevated uric acid",
                                   "shift work",
                                   "family history",
                                   "alcohol consumption",
                                   "air pollution",
                                   "high sodium intake",
                                   "polypharmacy",
                                   "depression",
                                   "short sleep duration",
                                   "delayed diagnosis"};

static const char *const stats[] = {"a Cox proportional hazards model",
                                    "multivariable logistic regression",
                                    "linear mixed models",
                                    "propensity score matching",
                                    "Kaplan-Meier analysis",
                                    "repeated-measures analysis of variance",
                                    "Poisson regression",
                                    "generalized estimating equations"};

static const char *const stem[] = {
    "ator",   "lexi",   "pravi",  "sorafo", "rituxo",  "mero",   "cefta",  "vanco",  "dapa",
    "empa",   "lira",   "sema",   "eno",    "apixo",   "riva",   "tofa",   "bari",   "inflixo",
    "adali",  "ustek",  "seku",   "nivo",   "pembro",  "ateso",  "bevaci", "cetuxo", "imati",
    "erlo",   "osimer", "palbo",  "olapo",  "venet",   "lenali", "carfi",  "losa",   "vala",
    "ami",    "carve",  "meto",   "biso",   "amlo",    "fluco",  "vori",   "rifa",   "beda",
    "arte",   "sitag",  "lina",   "omepra", "panto",   "esci",   "sertra", "venla",  "queti",
    "olanza", "aripi",  "leveti", "lamo",   "pregaba", "duloxo"};

static const char *const suffix[] = {"mab",       "nib",     "tinib",  "statin",  "pril",
                                     "sartan",    "olol",    "azole",  "cycline", "gliptin",
                                     "gliflozin", "parib",   "zumab",  "xaban",   "prazole",
                                     "triptan",   "oxetine", "ciclib", "vir",     "mycin"};

static const char *const surname[] = {
    "Andersson", "Bakker", "Chen",  "Dubois",   "Eriksson", "Fischer",  "Garcia", "Hansen",
    "Ibrahim",   "Jensen", "Kim",   "Lopez",    "Muller",   "Nakamura", "Okafor", "Patel",
    "Quist",     "Rossi",  "Silva", "Tanaka",   "Ueda",     "Virtanen", "Wang",   "Xu",
    "Yilmaz",    "Zhang",  "Novak", "Kowalski", "Petrov",   "Haddad"};

static const char *const tissue[] = {"liver",           "kidney",
                                     "heart",           "lung",
                                     "hippocampus",     "prefrontal cortex",
                                     "skeletal muscle", "adipose tissue",
                                     "aorta",           "retina",
                                     "spleen",          "bone marrow",
                                     "synovial tissue", "colonic mucosa",
                                     "pancreas",        "spinal cord"};

static const char *const trial_background[] = {
    "{^$condition} is a {important} cause of morbidity and mortality worldwide.",
    "{^$drug} is {commonly} used in patients with {$condition}, but its effect on {$outcome} is {known}.",
    "Few randomized trials have examined {$drug} in {$population} with {$condition}.",
    "Current treatment of {$condition} is limited by adverse effects and poor adherence.",
    "Preclinical studies suggest that {$drug} may improve {$outcome} by modulating {process}.",
    "The optimal treatment of {$condition} in {$population} remains {known}.",
    "Guidelines recommend {$drug2} as first-line therapy for {$condition}, although the evidence is weak.",
    "Many {$population} with {$condition} do not respond to {$drug2}.",
    "Previous studies of {$drug} were small and gave conflicting results."};

static const char *const trial_conclusion[] = {
    "{@trial_end}", "{@trial_end2}",
    "Larger trials with longer follow-up are needed to confirm these findings.",
    "The safety profile of {$drug} was consistent with that of previous reports."};

static const char *const trial_methods[] = {
    "In this {design}, {$n} {$population} with {$condition} were randomly assigned to receive {$drug} (n = {$n1}) or {$drug2} (n = {$n2}).",
    "Patients received {$drug} {dose} or matching placebo for {$months}.",
    "The primary endpoint was {$outcome} at {$months}; secondary endpoints included {outcome2} and {outcome2}.",
    "Eligible patients were aged {#18-40} to {#65-85} years and had a confirmed diagnosis of {$condition}.",
    "Randomization was stratified by age, sex and study center.",
    "Analyses were performed according to the intention-to-treat principle using {stats}.",
    "A total of {$n} patients from {#3-48} centers in {$place} were enrolled between {#1995-2008} and {#2009-2020}.",
    "Outcome assessors were unaware of treatment allocation.",
    "Adverse events were recorded at every visit and graded by two independent investigators.",
    "{^$outcome} was assessed at baseline and after {$months} of treatment."};

static const char *const trial_objective[] = {
    "We evaluated whether {$drug} improves {$outcome} in {$population} with {$condition}.",
    "To compare the efficacy and safety of {$drug} and {$drug2} in patients with {$condition}.",
    "The aim of this study was to determine the effect of {$drug} on {$outcome} in {$condition}.",
    "We assessed the effect of adding {$drug} to usual care in {$population} with {$condition}.",
    "To investigate whether {$drug} is superior to {$drug2} with respect to {$outcome}."};

static const char *const trial_results[] = {
    "Of {$n} randomized patients, {#80-99}% completed the study.",
    "{@trial_primary}",
    "{@trial_primary2}",
    "The mean age of the patients was {#24-79}.{#0-9} years, and {#22-78}% were women.",
    "Baseline characteristics were well balanced between the {$drug} and {$drug2} groups.",
    "Serious adverse events occurred in {#1-19}.{#0-9}% of the {$drug} group and {#1-19}.{#0-9}% of the {$drug2} group.",
    "The most common adverse events were {outcome2}, nausea and headache.",
    "{^outcome2} was {@direction} in the {$drug} group.",
    "There was no difference between the groups in {outcome2} ({p_no}).",
    "Median follow-up was {#6-60} months.",
    "Subgroup analyses showed consistent results across age and sex.",
    "No treatment-related deaths occurred."};

static const char *const trial_title[] = {
    "Effect of {$drug} on {$outcome} in patients with {$condition}: a {design}.",
    "{^$drug} versus {$drug2} for the treatment of {$condition}.",
    "Efficacy and safety of {$drug} in {$population} with {$condition}.",
    "A {design} of {$drug} in {$condition}.",
    "{^$drug} added to standard therapy and {$outcome} in {$condition}.",
    "Does {$drug} improve {$outcome} in {$population} with {$condition}?",
    "[Treatment of {$condition} with {$drug}: results of a controlled trial]."};

static const char *const trial_end_no[] = {
    "In {$population} with {$condition}, {$drug} did not improve {$outcome} compared with {$drug2}.",
    "{^$drug} showed no clear benefit over {$drug2} in patients with {$condition}.",
    "These findings do not support the routine use of {$drug} in {$condition}.",
    "The addition of {$drug} to usual care had no significant effect on {$outcome}."};

static const char *const trial_end_yes[] = {
    "In {$population} with {$condition}, treatment with {$drug} significantly improved {$outcome}.",
    "{^$drug} was effective and well tolerated in patients with {$condition}.",
    "These findings support the use of {$drug} in {$population} with {$condition}.",
    "Compared with {$drug2}, {$drug} resulted in better {$outcome} at {$months}."};

static const char *const trial_end2_no[] = {
    "Alternative strategies are needed to improve {$outcome} in {$condition}.",
    "{^$drug2} remains the treatment of choice for {$condition}."};

static const char *const trial_end2_yes[] = {
    "{^$drug} may be a useful option for patients with {$condition} who do not respond to {$drug2}.",
    "Treatment with {$drug} should be considered in {$population} with {$condition}."};

static const char *const trial_primary_no[] = {
    "{^$outcome} did not differ significantly between {$drug} and {$drug2} ({#20-49}.{#0-9}% vs {#20-49}.{#0-9}%; {p_no}).",
    "After {$months}, {$outcome} was similar in the {$drug} and {$drug2} groups ({p_no}).",
    "{^$drug} did not improve {$outcome} compared with {$drug2} (hazard ratio {#0.90-1.10}; {p_no}).",
    "The mean change in {$outcome} was {#2-5}.{#0-9} with {$drug} and {#2-5}.{#0-9} with {$drug2} ({p_no})."};

static const char *const trial_primary_yes[] = {
    "{^$outcome} improved significantly more with {$drug} than with {$drug2} ({#25-79}.{#0-9}% vs {#8-24}.{#0-9}%; {p_yes}).",
    "After {$months}, {$outcome} was significantly better in the {$drug} group than in the {$drug2} group ({p_yes}).",
    "{^$drug} significantly improved {$outcome} compared with {$drug2} (hazard ratio 0.{#42-84}; {p_yes}).",
    "The mean change in {$outcome} was {#4-19}.{#0-9} with {$drug} and {#0-3}.{#0-9} with {$drug2} ({p_yes})."};

static const char *const trial_primary2_no[] = {
    "No benefit of {$drug} was observed at any time point during {$months}.",
    "The response rate was {#30-45}% in the {$drug} group and {#30-45}% in the {$drug2} group ({p_no}).",
    "{^$drug} was not superior to {$drug2} in any prespecified analysis ({p_no})."};

static const char *const trial_primary2_yes[] = {
    "The benefit of {$drug} was evident after {#2-8} weeks and was maintained for {$months}.",
    "The response rate was {#55-89}% in the {$drug} group and {#20-50}% in the {$drug2} group ({p_yes}).",
    "{^$drug} was superior to {$drug2} in all prespecified analyses ({p_yes})."};

#define RULE(name, items)                      \
 {                                             \
  name, items, sizeof(items) / sizeof *(items) \
 }

const struct synth_rule synth_rules[] = {
    RULE("animal", animal),
    RULE("assay", assay),
    RULE("cell", cell),
    RULE("ci", ci),
    RULE("cohort.background", cohort_background),
    RULE("cohort.conclusion", cohort_conclusion),
    RULE("cohort.methods", cohort_methods),
    RULE("cohort.objective", cohort_objective),
    RULE("cohort.results", cohort_results),
    RULE("cohort.title", cohort_title),
    RULE("cohort_end.no", cohort_end_no),
    RULE("cohort_end.yes", cohort_end_yes),
    RULE("cohort_main.no", cohort_main_no),
    RULE("cohort_main.yes", cohort_main_yes),
    RULE("cohort_main2.no", cohort_main2_no),
    RULE("cohort_main2.yes", cohort_main2_yes),
    RULE("commonly", commonly),
    RULE("condition", condition),
    RULE("databases", databases),
    RULE("design", design),
    RULE("direction.no", direction_no),
    RULE("direction.yes", direction_yes),
    RULE("dose", dose),
    RULE("drug", drug),
    RULE("drug2", drug2),
    RULE("expression.no", expression_no),
    RULE("expression.yes", expression_yes),
    RULE("forename", forename),
    RULE("gene", gene),
    RULE("gene_name", gene_name),
    RULE("gene_stem", gene_stem),
    RULE("gene_tail", gene_tail),
    RULE("hetero", hetero),
    RULE("important", important),
    RULE("journal", journal),
    RULE("known", known),
    RULE("lab.background", lab_background),
    RULE("lab.conclusion", lab_conclusion),
    RULE("lab.methods", lab_methods),
    RULE("lab.objective", lab_objective),
    RULE("lab.results", lab_results),
    RULE("lab.title", lab_title),
    RULE("lab_acts", lab_acts),
    RULE("lab_end.no", lab_end_no),
    RULE("lab_end.yes", lab_end_yes),
    RULE("lab_expr.no", lab_expr_no),
    RULE("lab_expr.yes", lab_expr_yes),
    RULE("lab_main.no", lab_main_no),
    RULE("lab_main.yes", lab_main_yes),
    RULE("lab_main2.no", lab_main2_no),
    RULE("lab_main2.yes", lab_main2_yes),
    RULE("lab_verb.no", lab_verb_no),
    RULE("lab_verb.yes", lab_verb_yes),
    RULE("micro", micro),
    RULE("months", months),
    RULE("outcome", outcome),
    RULE("outcome2", outcome2),
    RULE("p_no", p_no),
    RULE("p_yes", p_yes),
    RULE("pathway", pathway),
    RULE("place", place),
    RULE("population", population),
    RULE("process", process),
    RULE("review.background", review_background),
    RULE("review.conclusion", review_conclusion),
    RULE("review.methods", review_methods),
    RULE("review.objective", review_objective),
    RULE("review.results", review_results),
    RULE("review.title", review_title),
    RULE("review_end.no", review_end_no),
    RULE("review_end.yes", review_end_yes),
    RULE("review_main.no", review_main_no),
    RULE("review_main.yes", review_main_yes),
    RULE("review_main2.no", review_main2_no),
    RULE("review_main2.yes", review_main2_yes),
    RULE("review_n", review_n),
    RULE("risk", risk),
    RULE("stats", stats),
    RULE("stem", stem),
    RULE("suffix", suffix),
    RULE("surname", surname),
    RULE("tissue", tissue),
    RULE("trial.background", trial_background),
    RULE("trial.conclusion", trial_conclusion),
    RULE("trial.methods", trial_methods),
    RULE("trial.objective", trial_objective),
    RULE("trial.results", trial_results),
    RULE("trial.title", trial_title),
    RULE("trial_end.no", trial_end_no),
    RULE("trial_end.yes", trial_end_yes),
    RULE("trial_end2.no", trial_end2_no),
    RULE("trial_end2.yes", trial_end2_yes),
    RULE("trial_primary.no", trial_primary_no),
    RULE("trial_primary.yes", trial_primary_yes),
    RULE("trial_primary2.no", trial_primary2_no),
    RULE("trial_primary2.yes", trial_primary2_yes),
};

const size_t synth_rule_count = sizeof synth_rules / sizeof *synth_rules;
